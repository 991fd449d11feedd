"""Parse ``limit=``, ``offset=`` and ``Range:``, and write ``Content-Range:``.

    Range = first "-" [ last ]      ; rows, counted from 0, both ends included

Header and parameters are both obeyed: the page is where the two overlap.

Source: PostgREST 16, ``RangeQuery.hs``.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from modules.rest.errors import QueryStringError, RangeNotSatisfiable

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{0,18})")

LOWER_ABOVE_UPPER: Final = (
    "The lower boundary must be lower than or equal to the upper boundary in the Range header."
)
LIMIT_BELOW_ZERO: Final = "Limit should be greater than or equal to zero."


class Page(Struct, frozen=True):
    """Which rows: ``limit`` of them, or all when None, after ``offset``."""

    offset: int = 0
    limit: int | None = None

    def capped(self, most: int | None) -> Page:
        """Return this page with no more than ``most`` rows."""
        if most is None or (self.limit is not None and self.limit <= most):
            return self
        return Page(self.offset, most)


WHOLE: Final = Page()


def parse_limit(text: str) -> int:
    """Return the value of ``limit=``.

    Raises:
        QueryStringError: PGRST100, not a number.
        RangeNotSatisfiable: PGRST103, below zero.
    """
    limit = _number("limit", text)
    if limit < 0:
        raise RangeNotSatisfiable(LIMIT_BELOW_ZERO)
    return limit


def parse_offset(text: str) -> int:
    """Return the value of ``offset=``; below zero counts as zero.

    Raises:
        QueryStringError: PGRST100, not a number.
    """
    return max(_number("offset", text), 0)


def _number(what: str, text: str) -> int:
    found = _NUMBER.match(text)
    if found is None or found.end() != len(text):
        at = found.end() if found else 0
        raise QueryStringError(
            what, text, at + 1, text[at : at + 1], "digit" if not found else "end of input"
        )
    return int(text)


def parse_range(header: str) -> Page:
    """Return the page a ``Range`` header asks for; the whole when it is no range of rows.

    Raises:
        RangeNotSatisfiable: PGRST103, its ends are the wrong way round.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        return WHOLE
    first = int(found[1])
    if not found[2]:
        return Page(first)
    if int(found[2]) < first:
        raise RangeNotSatisfiable(LOWER_ABOVE_UPPER)
    return Page(first, int(found[2]) - first + 1)


def overlap(one: Page, other: Page) -> Page:
    """Return the rows that are on both pages.

    >>> overlap(Page(0, 10), Page(5, 10))
    Page(offset=5, limit=5)
    """
    offset = max(one.offset, other.offset)
    ends = [page.offset + page.limit for page in (one, other) if page.limit is not None]
    return Page(offset, max(min(ends) - offset, 0)) if ends else Page(offset)


def content_range(offset: int, rows: int, total: int | None) -> str:
    """Write the header's value.

    >>> content_range(10, 5, 100), content_range(0, 0, None)
    ('10-14/100', '*/*')
    """
    shown = "*" if rows == 0 else f"{offset}-{offset + rows - 1}"
    return f"{shown}/{'*' if total is None else total}"


def status_of(rows: int, total: int | None) -> int:
    """Return 206 when there are more rows than this page has, else 200."""
    return 206 if total is not None and rows < total else 200
