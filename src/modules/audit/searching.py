"""Find entries: by who, what, on what, by which request and when; page by page along the chain."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.audit.dtos import EntryView
from modules.audit.entries import COLUMNS, microseconds, month_of
from monohull.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from monohull.kernel.database.engine import Database

EXPORT_PAGE: Final = 1000

_CURSOR: Final = re.compile(r"([0-9]{1,16})-([0-9]{1,18})")
_ACTION: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?")
_READ: Final = ", ".join(
    f"{column}::text as {column}" if column in ("before", "after") else column for column in COLUMNS
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Wanted(Struct, frozen=True, kw_only=True):
    """Which entries.

    Attributes:
        actor: Id of the user or the key.
        action: A name, or everything below one: ``auth.*``.
        object: ``kind``, or ``kind:id``.
        request_id: Of the request that caused it.
        since: Recorded at this time or later.
        until: Recorded before this time.
    """

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Place(Struct, frozen=True):
    """Where a page ends."""

    recorded_at: datetime
    sequence: int

    @property
    def cursor(self) -> str:
        return f"{microseconds(self.recorded_at)}-{self.sequence}"


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
    ) -> Sequence[EntryView]:
        """Return a page of entries, the newest first.

        Args:
            wanted: Which.
            limit: How many at most.
            behind: The last entry of the page before.
            oldest_first: The other way round.

        Raises:
            InvalidRequest: 400, the action is no name.
            DatabaseUnavailable: 503.
        """
        conditions, values = _conditions(wanted)
        order = "asc" if oldest_first else "desc"
        if behind is not None:
            values += (behind.recorded_at, behind.sequence)
            compare = ">" if oldest_first else "<"
            at, sequence = f"${len(values) - 1}", f"${len(values)}"
            # the first of the two lets the server leave whole months alone
            conditions += (
                f"recorded_at {compare}= {at}",
                f"(recorded_at, sequence) {compare} ({at}, {sequence})",
            )
        where = f" where {' and '.join(conditions)}" if conditions else ""
        rows = await self._fetch(
            f"select {_READ} from monohull.audit_entries{where} "  # noqa: S608 no part of it comes from outside
            f"order by recorded_at {order}, sequence {order} limit ${len(values) + 1}",
            *values,
            limit,
        )
        return [view(row) for row in rows]

    async def walk(self, wanted: Wanted) -> AsyncIterator[Sequence[EntryView]]:
        """Yield every entry, the oldest first, in pages that each hold a connection for a moment."""
        behind: Place | None = None
        while page := await self.page(wanted, limit=EXPORT_PAGE, behind=behind, oldest_first=True):
            yield page
            behind = place_of(page[-1])

    async def _fetch(self, query: str, *values: Any) -> Sequence[Mapping[str, Any]]:
        async with self._database.connected() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            found: Sequence[Mapping[str, Any]] = await driver.fetch(query, *values)
            return found


def place_of(entry: EntryView) -> Place:
    """Return where a page ends that ends with ``entry``."""
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


def _conditions(wanted: Wanted) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    found: list[tuple[str, Any]] = []
    if wanted.actor is not None:
        found.append(("actor_id = {}", wanted.actor))
    if wanted.action is not None:
        found += _of_action(wanted.action)
    if wanted.object is not None:
        kind, _, object_id = wanted.object.partition(":")
        found.append(("object_kind = {}", kind))
        if object_id:
            found.append(("object_id = {}", object_id))
    if wanted.request_id is not None:
        found.append(("request_id = {}", wanted.request_id))
    if wanted.since is not None:
        found.append(("recorded_at >= {}", wanted.since))
    if wanted.until is not None:
        found.append(("recorded_at < {}", wanted.until))
    conditions = tuple(text.format(f"${number}") for number, (text, _) in enumerate(found, start=1))
    values = tuple(value for _, value in found)
    for value in values:
        _check(value)
    return conditions, values


def _check(value: str | datetime) -> None:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidRequest(
                "A time needs its zone.", details=value.isoformat(), hint="Write Z behind it for UTC."
            )
    elif "\0" in value:
        raise InvalidRequest("The search holds a zero byte; no entry does.")


def _of_action(action: str) -> list[tuple[str, Any]]:
    if not _ACTION.fullmatch(action):
        raise InvalidRequest(
            "The action is neither a name nor a name and .*", details=action[:100], hint="Try auth.*"
        )
    if not action.endswith(".*"):
        return [("action = {}", action)]
    stem = action.removesuffix("*")
    return [("action >= {}", stem), ("action < {}", stem[:-1] + "/")]  # in ASCII / comes behind the full stop
