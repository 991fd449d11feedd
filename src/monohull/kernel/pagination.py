"""Pages of rows: read from ``limit`` and ``offset`` or ``Range``, told by ``Content-Range`` and ``Link``.

The platform API pages by position: its lists are short, and a reader can jump.
``Range`` counts in items, inclusive at both ends, as RFC 9110 counts bytes;
``Content-Range`` and ``Link`` (RFC 8288) say where the page lies in the whole.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from monohull.kernel.errors import InvalidRequest, RangeNotSatisfiable

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
MAX_OFFSET: Final = 2**31 - 1

_WHOLE: Final = re.compile(r"[0-9]{1,10}")
_RANGE: Final = re.compile(r"(?:items=)?([0-9]{1,10})-([0-9]{1,10})?")


class Page(Struct, frozen=True):
    """Which rows are wanted.

    Attributes:
        limit: How many at most, 1 or more.
        offset: How many are left out before them.
    """

    limit: int = DEFAULT_LIMIT
    offset: int = 0

    def next(self, total: int) -> Page | None:
        """Return the page behind this one, or None when this one reaches ``total``."""
        following = self.offset + self.limit
        return Page(self.limit, following) if following < total else None

    def previous(self) -> Page | None:
        """Return the page before this one, shorter at the beginning, or None at row 0."""
        if self.offset == 0:
            return None
        return Page(min(self.limit, self.offset), max(0, self.offset - self.limit))

    def last(self, total: int) -> Page:
        """Return the last page in steps of `limit` from row 0."""
        return Page(self.limit, max(0, (total - 1) // self.limit * self.limit))


def parse_page(
    limit: str | None = None,
    offset: str | None = None,
    range_: str | None = None,
    *,
    range_unit: str | None = None,
    max_limit: int = MAX_LIMIT,
) -> Page:
    """Read what a request says about its page; the query wins over the header.

    >>> parse_page(limit="10", offset="20")
    Page(limit=10, offset=20)
    >>> parse_page(range_="0-9")
    Page(limit=10, offset=0)

    Args:
        limit: Of the query string.
        offset: Of the query string.
        range_: The ``Range`` header. Another unit than items is ignored, as RFC 9110 wants it.
        range_unit: The ``Range-Unit`` header.
        max_limit: More rows than these are not given at once; the page is cut to them.

    Raises:
        InvalidRequest: 400, a number is none.
        RangeNotSatisfiable: 416, the range ends before it begins.
    """
    if limit is not None or offset is not None:
        wanted = min(DEFAULT_LIMIT, max_limit) if limit is None else _number("limit", limit, least=1)
        start = 0 if offset is None else _number("offset", offset, least=0)
        return Page(min(wanted, max_limit), start)
    if range_ is None or (range_unit or "items").strip().lower() != "items":
        return Page(min(DEFAULT_LIMIT, max_limit))
    return _parse_range(range_.strip(), max_limit)


def content_range(offset: int, count: int, total: int | None) -> str:
    """Return the text of ``Content-Range`` for ``count`` rows from ``offset`` on.

    >>> content_range(10, 5, 100), content_range(0, 0, 0), content_range(0, 2, None)
    ('items 10-14/100', 'items */0', 'items 0-1/*')
    """
    span = f"{offset}-{offset + count - 1}" if count else "*"
    return f"items {span}/{'*' if total is None else total}"


def link(url: str, page: Page, total: int) -> str:
    """Return the text of ``Link`` with first, prev, next and last, as far as there are such pages.

    Args:
        url: Of this request; its other parameters stay as they are.
        page: The one that is answered.
        total: Rows in all.
    """
    pages = (
        ("first", Page(page.limit)),
        ("prev", page.previous()),
        ("next", page.next(total)),
        ("last", page.last(total)),
    )
    return ", ".join(f'<{_with_page(url, each)}>; rel="{name}"' for name, each in pages if each is not None)


def page_headers(url: str, page: Page, count: int, total: int) -> dict[str, str]:
    """Return the headers of an answer with ``count`` rows.

    Raises:
        RangeNotSatisfiable: 416, the page begins behind the last row.
    """
    if page.offset and page.offset >= total:
        raise RangeNotSatisfiable(
            f"The page begins at row {page.offset}, and there are {total}.",
            headers={"Content-Range": content_range(0, 0, total)},
        )
    return {
        "Content-Range": content_range(page.offset, count, total),
        "Link": link(url, page, total),
        "Range-Unit": "items",
    }


def _parse_range(text: str, max_limit: int) -> Page:
    if (found := _RANGE.fullmatch(text)) is None:
        if "=" in text and not text.startswith("items="):
            return Page(min(DEFAULT_LIMIT, max_limit))
        raise InvalidRequest("The Range header is not of the form 0-9 or 10-.", details=text[:100])
    first, last = int(found[1]), found[2]
    if last is None:
        return Page(max_limit, _within(first))
    if int(last) < first:
        raise RangeNotSatisfiable("The range ends before it begins.", details=text)
    return Page(min(int(last) - first + 1, max_limit), _within(first))


def _number(name: str, text: str, *, least: int) -> int:
    if not _WHOLE.fullmatch(text) or int(text) < least:
        raise InvalidRequest(f"{name} must be a whole number from {least} on.", details=text[:100])
    return _within(int(text))


def _within(number: int) -> int:
    """PostgreSQL takes larger ones, but nobody has so many rows, and a text that long is an attack."""
    return min(number, MAX_OFFSET)


def _with_page(url: str, page: Page) -> str:
    parts = urlsplit(url)
    others = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name not in ("limit", "offset")
    ]
    query = urlencode([*others, ("limit", page.limit), ("offset", page.offset)])
    return urlunsplit(parts._replace(query=query, fragment=""))
