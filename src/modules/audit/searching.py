"""Find entries: by who, what, on what, by which request and when; page by page along the chain.

First where they stand, by an index alone, and then what of them fits into a page.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.audit.dtos import EntryView
from modules.audit.entries import COLUMNS, microseconds, month_of
from modules.audit.paths import Place, Wanted, find_places
from monohull.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from monohull.kernel.database.engine import Database

EXPORT_PAGE: Final = 1000
PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page holds no more JSON of what was before and after, unless its first entry alone does."""

_CURSOR: Final = re.compile(r"([0-9]{1,16})-([0-9]{1,18})")
_SIZES: Final = "coalesce({0}(before{1}), 0) + coalesce({0}(after{1}), 0)"
_READ: Final = f"""
    select {", ".join(f"{c}::text as {c}" if c in ("before", "after") else c for c in COLUMNS)}
    from (
        select stored.*, sum({_SIZES.format("octet_length", "::text")}) over (order by place) as all_bytes,
            {_SIZES.format("octet_length", "::text")} as bytes
        from (
            select e.*, place,
                sum({_SIZES.format("pg_column_size", "")}) over (order by place) as all_stored,
                {_SIZES.format("pg_column_size", "")} as stored_bytes
            from unnest($1::timestamptz[], $2::bigint[]) with ordinality as wanted (at, number, place)
            join monohull.audit_entries as e on e.recorded_at = wanted.at and e.sequence = wanted.number
        ) as stored
        where all_stored - stored_bytes < $3
    ) as read
    where all_bytes - bytes < $3
    order by place
"""  # noqa: S608 of our own text
"""What is not even stored within the limit is not unpacked."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Found(Struct, frozen=True):
    """A page.

    Attributes:
        entries: What fits of those that were asked for: one at least, where there is one.
        behind: Where the following page begins; None for no such page.
    """

    entries: Sequence[EntryView]
    behind: Place | None


def cursor_of(place: Place) -> str:
    """Write a place for clients.

    >>> cursor_of(Place(datetime(2026, 11, 1, tzinfo=UTC), 12))
    '1793491200000000-12'
    """
    return f"{microseconds(place.recorded_at)}-{place.sequence}"


def parse_place(cursor: str) -> Place:
    """Read a cursor that an earlier page gave.

    Raises:
        InvalidRequest: 400, it is none.
    """
    if (found := _CURSOR.fullmatch(cursor)) is None:
        raise InvalidRequest("The cursor is none that a page gave.", details=cursor[:100])
    try:
        return Place(_EPOCH + timedelta(microseconds=int(found[1])), int(found[2]))
    except OverflowError:
        raise InvalidRequest("The cursor is none that a page gave.", details=cursor) from None


class Search:
    """Reads the log.

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, wanted: Wanted, *, limit: int, behind: Place | None = None, oldest_first: bool = False
    ) -> Found:
        """Return a page of entries, the newest first.

        Args:
            wanted: Which.
            limit: How many at most; `PAGE_BYTES` may leave fewer.
            behind: The last entry of the page before.
            oldest_first: The other way round.

        Raises:
            InvalidRequest: 400, the search cannot be read.
            DatabaseUnavailable: 503.
        """
        query = find_places(wanted, limit=limit + 1, behind=behind, oldest_first=oldest_first)
        async with self._database.connected() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            async with driver.transaction(readonly=True):
                # a plan for any actor is one for an actor who hardly ever does anything
                await driver.execute("set local plan_cache_mode = force_custom_plan")
                places = await driver.fetch(query.text, *query.values)
                if not places:
                    return Found((), None)
                times, sequences = zip(*places[:limit], strict=True)
                rows = await driver.fetch(_READ, times, sequences, PAGE_BYTES)
        entries = [view(row) for row in rows]
        if len(entries) == len(places):
            return Found(entries, None)
        # of a month that was let go meanwhile nothing is left to show
        return Found(entries, place_of(entries[-1]) if entries else Place(times[-1], sequences[-1]))

    async def walk(self, wanted: Wanted) -> AsyncIterator[Sequence[EntryView]]:
        """Yield every entry, the oldest first, in pages that each hold a connection for a moment."""
        behind: Place | None = None
        while True:
            page = await self.page(wanted, limit=EXPORT_PAGE, behind=behind, oldest_first=True)
            if page.entries:
                yield page.entries
            if (behind := page.behind) is None:
                return


def place_of(entry: EntryView) -> Place:
    """Return where an entry stands."""
    return Place(entry.recorded_at, entry.sequence)


def view(row: Mapping[str, Any]) -> EntryView:
    """Show an entry; its JSON is passed on letter by letter."""
    fields = {name: row[name] for name in EntryView.__struct_fields__ if name not in _MADE}
    return EntryView(
        **fields,
        partition=month_of(row["recorded_at"]),
        before=_raw(row["before"]),
        after=_raw(row["after"]),
        hash=row["hash"].hex(),
        previous_hash=row["previous_hash"].hex(),
    )


_MADE: Final = frozenset({"partition", "before", "after", "hash", "previous_hash"})


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
