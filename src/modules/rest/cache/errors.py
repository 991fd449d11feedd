"""Refusals of those who mark tables."""

from __future__ import annotations

from monohull.kernel.errors import InvalidRequest, NotFound


class TableNotCacheable(InvalidRequest):
    """Not every change of this table could be told of, so that answers about it cannot be kept."""

    code = "table_not_cacheable"


class NoSuchTable(NotFound):
    """There is no such table, or it is not cached."""

    hint = "Write it as SQL does, with its schema: public.products."
