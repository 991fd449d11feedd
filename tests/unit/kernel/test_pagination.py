"""Pages in, headers out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.errors import InvalidRequest, RangeNotSatisfiable
from monohull.kernel.pagination import (
    MAX_OFFSET,
    Page,
    content_range,
    link,
    page_headers,
    parse_page,
)


@pytest.mark.parametrize(
    ("limit", "offset", "range_", "page"),
    [
        (None, None, None, Page(50, 0)),
        ("10", None, None, Page(10, 0)),
        (None, "20", None, Page(50, 20)),
        ("10", "20", None, Page(10, 20)),
        ("1000", None, None, Page(200, 0)),
        (None, None, "0-9", Page(10, 0)),
        (None, None, "items=10-19", Page(10, 10)),
        (None, None, "10-", Page(200, 10)),
        (None, None, "5-5", Page(1, 5)),
        (None, None, " 0-999 ", Page(200, 0)),
        (None, None, "bytes=0-99", Page(50, 0)),
        ("10", None, "0-4", Page(10, 0)),
        ("9999999999", "9999999999", None, Page(200, MAX_OFFSET)),
    ],
)
def test_a_page_is_read(limit: str | None, offset: str | None, range_: str | None, page: Page) -> None:
    assert parse_page(limit, offset, range_) == page


def test_another_unit_is_ignored() -> None:
    assert parse_page(range_="0-9", range_unit="bytes") == Page(50, 0)
    assert parse_page(range_="0-9", range_unit="Items") == Page(10, 0)


def test_a_route_may_allow_fewer() -> None:
    assert parse_page(max_limit=20) == Page(20, 0)
    assert parse_page(limit="30", max_limit=20) == Page(20, 0)


@pytest.mark.parametrize(
    ("limit", "offset", "range_", "message"),
    [
        ("0", None, None, "limit must be a whole number from 1 on"),
        ("-1", None, None, "limit must be"),
        ("1.5", None, None, "limit must be"),
        ("", None, None, "limit must be"),
        ("٣", None, None, "limit must be"),
        ("1" * 5000, None, None, "limit must be"),
        (None, "x", None, "offset must be a whole number from 0 on"),
        (None, None, "a-b", "Range header"),
        (None, None, "-5", "Range header"),
        (None, None, "0-9,20-29", "Range header"),
    ],
)
def test_what_is_no_page(limit: str | None, offset: str | None, range_: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_page(limit, offset, range_)


def test_a_range_that_ends_before_it_begins() -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_page(range_="9-0")
    assert caught.value.status == 416


@given(st.text(max_size=20))
def test_nothing_else_is_raised(text: str) -> None:
    for arguments in ((text, None, None), (None, text, None), (None, None, text)):
        try:
            page = parse_page(*arguments)
        except (InvalidRequest, RangeNotSatisfiable):
            continue
        assert 1 <= page.limit <= 200
        assert 0 <= page.offset <= MAX_OFFSET


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 10, 100), "items 0-9/100"),
        ((90, 10, None), "items 90-99/*"),
        ((0, 0, 0), "items */0"),
        ((500, 0, 100), "items */100"),
    ],
)
def test_content_range(arguments: tuple[int, int, int | None], text: str) -> None:
    assert content_range(*arguments) == text


def test_link_of_a_page_in_the_middle() -> None:
    url = "http://h/platform/v1/keys?q=a%20b&limit=10&offset=20&empty=#f"
    base = "http://h/platform/v1/keys?q=a+b&empty="
    assert link(url, Page(10, 20), 45) == (
        f'<{base}&limit=10&offset=0>; rel="first", '
        f'<{base}&limit=10&offset=10>; rel="prev", '
        f'<{base}&limit=10&offset=30>; rel="next", '
        f'<{base}&limit=10&offset=40>; rel="last"'
    )


def test_the_only_page_has_no_neighbours() -> None:
    assert link("/x", Page(10), 0) == (
        '</x?limit=10&offset=0>; rel="first", </x?limit=10&offset=0>; rel="last"'
    )


def test_the_page_before_an_odd_offset_is_shorter() -> None:
    assert Page(10, 4).previous() == Page(4, 0)
    assert Page(10, 0).previous() is None


@given(st.integers(1, 50), st.integers(0, 500))
def test_following_next_reads_every_row_once(limit: int, total: int) -> None:
    page: Page | None = Page(limit)
    rows: list[int] = []
    last = Page(limit)
    while page is not None:
        last = page
        rows += range(page.offset, min(page.offset + page.limit, total))
        page = page.next(total)
    assert rows == list(range(total))
    assert last == Page(limit).last(total)


def test_headers_of_an_answer() -> None:
    headers = page_headers("/x", Page(10, 10), 5, 15)
    assert headers["Content-Range"] == "items 10-14/15"
    assert 'rel="next"' not in headers["Link"]
    assert page_headers("/x", Page(10), 0, 0)["Content-Range"] == "items */0"


def test_a_page_behind_the_last_row() -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        page_headers("/x", Page(10, 15), 0, 15)
    assert caught.value.headers == {"Content-Range": "items */15"}
