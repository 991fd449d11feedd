# a row of a table is read best on one line
# ruff: noqa: E501
from __future__ import annotations

import pytest

from modules.rest.errors import (
    MediaTypeNotAvailable,
    PreferencesInvalid,
    QueryStringError,
    RangeNotSatisfiable,
)
from modules.rest.media import CSV, JSON, OBJECT, STRIPPED_ARRAY, STRIPPED_OBJECT, Media, choose_media
from modules.rest.preferences import parse_preferences
from modules.rest.ranges import (
    Page,
    content_range,
    overlap,
    parse_limit,
    parse_offset,
    parse_range,
    status_of,
)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", JSON),
        ("", JSON),
        ("application/json", JSON),
        ("application/*;q=0.1", JSON),
        ("text/html, application/json", JSON),
        ("text/csv", CSV),
        ("application/json;q=0.2, text/csv;q=0.9", CSV),
        ("text/csv;q=0, */*", JSON),
        ("text/csv;q=x, application/json", JSON),
        ("application/vnd.pgrst.object+json", OBJECT),
        ("APPLICATION/VND.PGRST.OBJECT", OBJECT),
        ("application/vnd.pgrst.array+json;nulls=stripped", STRIPPED_ARRAY),
        ('application/vnd.pgrst.object+json; nulls="stripped"', STRIPPED_OBJECT),
        (';, ;;, "a;b,text/csv", application/json', JSON),
    ],
)
def test_media(accept: str, media: Media) -> None:
    assert choose_media(accept) is media


def test_the_plan_of_what_can_be_made() -> None:
    plan = choose_media(
        'application/vnd.pgrst.plan+json; for="application/vnd.pgrst.array+json;nulls=stripped"; options=verbose'
    )
    assert plan.strip_nulls
    assert plan.explain is not None
    assert plan.explain.media_type == (
        'application/vnd.pgrst.plan+json; for="application/vnd.pgrst.array+json;nulls=stripped"; options=verbose'
    )
    for made in ("text/html", "", "application/vnd.pgrst.plan"):
        with pytest.raises(MediaTypeNotAvailable):
            choose_media(f'application/vnd.pgrst.plan; for="{made}"')


def test_media_refused() -> None:
    with pytest.raises(MediaTypeNotAvailable, match="are available: text/html, image/png"):
        choose_media("text/html, image/png")


@pytest.mark.parametrize(
    ("headers", "applied"),
    [
        (["count=exact"], "count=exact"),
        (["count=planned", "count=exact"], "count=planned"),
        (["count=wrong, count=exact, foo"], "count=exact"),
        (["handling=lenient,timezone=UTC"], "handling=lenient, timezone=UTC"),
        (["return=minimal, tx=commit, max-affected=3, missing=default"], ""),
        ([""], ""),
    ],
)
def test_preferences(headers: list[str], applied: str) -> None:
    assert parse_preferences(tuple(headers)).applied() == applied


def test_strict_preferences() -> None:
    with pytest.raises(PreferencesInvalid) as caught:
        parse_preferences(
            (
                "handling=strict",
                "something, else",
            )
        )
    assert caught.value.details == "Invalid preferences: something, else"
    assert (
        parse_preferences(
            (
                "handling=strict",
                "max-affected=3",
            )
        ).max_affected
        == "3"
    )
    assert parse_preferences(("max-affected=3",)).max_affected is None


@pytest.mark.parametrize(
    ("header", "page"),
    [("0-9", Page(0, 10)), ("5-", Page(5)), ("3-3", Page(3, 1)), ("bytes=0-1", Page()), ("x", Page()), ("0-9, 20-30", Page())],
)  # fmt: skip
def test_ranges(header: str, page: Page) -> None:
    assert parse_range(header) == page


def test_a_range_the_wrong_way_round() -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range("9-0")


@pytest.mark.parametrize("text", ["", "a", "1a", "1.5", "9" * 30])
def test_limit_is_a_number(text: str) -> None:
    with pytest.raises(QueryStringError):
        parse_limit(text)
    with pytest.raises(QueryStringError):
        parse_offset(text)


def test_below_zero() -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_limit("-1")
    assert parse_offset("-5") == 0


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Page(), Page(), Page()),
        (Page(0, 10), Page(5, 10), Page(5, 5)),
        (Page(0, 2), Page(5, 2), Page(5, 0)),
        (Page(3), Page(0, 10), Page(3, 7)),
    ],
)
def test_overlap(one: Page, other: Page, both: Page) -> None:
    assert overlap(one, other) == both


def test_the_ceiling() -> None:
    assert Page(3).capped(5) == Page(3, 5)
    assert Page(3, 9).capped(5) == Page(3, 5)
    assert Page(3, 2).capped(5) == Page(3, 2)
    assert Page(3, 9).capped(None) == Page(3, 9)


def test_content_range() -> None:
    assert content_range(0, 0, 0) == "*/0"
    assert content_range(5, 2, None) == "5-6/*"
    assert status_of(2, 2) == 200
    assert status_of(2, 3) == 206
    assert status_of(2, None) == 200
