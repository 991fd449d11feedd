"""Every query of sources and letters that people cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import text

from modules.ingest.dtos import LetterView, SourceState, SourceView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncSession

_SOURCE: Final = """
    select s.*,
        (select count(*) from monohull.ingest_letters as l where l.source_id = s.id and l.state = 'retrying')
            as retrying_letters,
        (select count(*) from monohull.ingest_letters as l where l.source_id = s.id and l.state = 'dead')
            as dead_letters
    from monohull.ingest_sources as s
"""
_ONE: Final = text(f"{_SOURCE} where s.id = :id")
_PAGE: Final = text(
    f"{_SOURCE} where (cast(:behind as uuid) is null or s.id > :behind) order by s.id limit :limit"
)
_HELD: Final = text("select * from monohull.ingest_sources where id = :id for update")
_COUNT: Final = text("select count(*) from monohull.ingest_sources")
_ADD: Final = text(
    """
    insert into monohull.ingest_sources
        (id, name, kind, address, origin, sealed_origin, destination, id_field, batch_size, max_attempts,
         retry_base_seconds, retry_max_seconds, is_paused)
    values (:id, :name, :kind, :address, cast(:origin as jsonb), :sealed_origin, cast(:destination as jsonb),
            :id_field, :batch_size, :max_attempts, :retry_base_seconds, :retry_max_seconds, :is_paused)
    """
)
_CHANGE: Final = text(
    """
    update monohull.ingest_sources
    set name = :name, kind = :kind, address = :address, origin = cast(:origin as jsonb),
        sealed_origin = :sealed_origin, destination = cast(:destination as jsonb), id_field = :id_field,
        batch_size = :batch_size, max_attempts = :max_attempts, retry_base_seconds = :retry_base_seconds,
        retry_max_seconds = :retry_max_seconds, is_paused = :is_paused, revision = revision + 1,
        consecutive_failures = 0, failing_since = null, next_attempt_at = null,
        last_error = case when :is_paused then last_error end,
        last_error_at = case when :is_paused then last_error_at end, updated_at = now()
    where id = :id
    """
)
_NOTIFY: Final = text("select pg_notify('monohull_ingest', '')")
_REMOVE: Final = text("delete from monohull.ingest_sources where id = :id")

_LETTER_COLUMNS: Final = """
    id, source_id, message_id, place, key, state, attempts, due_at, reason, message,
    octet_length(body) as bytes, received_at, finished_at
"""
_LETTERS: Final = text(
    f"""
    select {_LETTER_COLUMNS} from monohull.ingest_letters
    where (cast(:source_id as uuid) is null or source_id = :source_id)
        and (cast(:state as text) is null or state = :state)
        and (cast(:reason as text) is null or reason = :reason)
        and (cast(:behind as uuid) is null or id < :behind)
    order by id desc limit :limit
    """  # noqa: S608 of our own text
)
_LETTER: Final = text(
    f"select {_LETTER_COLUMNS}, headers, body from monohull.ingest_letters where id = :id"  # noqa: S608 of our own text
)
_AGAIN: Final = text(
    f"""
    update monohull.ingest_letters set state = 'retrying', attempts = 0, due_at = now(), finished_at = null
    where id = :id and state = 'dead'
    returning {_LETTER_COLUMNS}
    """  # noqa: S608 of our own text
)
_ALL_AGAIN: Final = text(
    """
    update monohull.ingest_letters set state = 'retrying', attempts = 0, due_at = now(), finished_at = null
    where id in (
        select id from monohull.ingest_letters
        where source_id = :source_id and state = 'dead'
            and (cast(:reason as text) is null or reason = :reason)
        order by id limit :limit for update skip locked)
    """
)
_DISCARD: Final = text(
    "delete from monohull.ingest_letters where id = :id and state <> 'retrying' returning source_id"
)


class SourceRepository:
    """Sources, in one unit of work."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def page(self, limit: int, behind: UUID | None) -> list[SourceView]:
        """Return a page, the oldest first."""
        rows = (await self._session.execute(_PAGE, {"limit": limit, "behind": behind})).mappings()
        return [view(row) for row in rows]

    async def find(self, source_id: UUID) -> SourceView | None:
        row = (await self._session.execute(_ONE, {"id": source_id})).mappings().one_or_none()
        return None if row is None else view(row)

    async def find_held(self, source_id: UUID) -> dict[str, Any] | None:
        """Return the columns of a source that nobody else changes until the transaction ends."""
        row = (await self._session.execute(_HELD, {"id": source_id})).mappings().one_or_none()
        return None if row is None else dict(row)

    async def count(self) -> int:
        return await self._session.scalar(_COUNT) or 0

    async def add(self, values: Mapping[str, Any]) -> None:
        await self._session.execute(_ADD, _stored(values))
        await self._session.execute(_NOTIFY)

    async def change(self, values: Mapping[str, Any]) -> None:
        await self._session.execute(_CHANGE, _stored(values))
        await self._session.execute(_NOTIFY)

    async def remove(self, source_id: UUID) -> None:
        """Delete a source with its letters. The ids it saw go when their time is over."""
        await self._session.execute(_REMOVE, {"id": source_id})
        await self._session.execute(_NOTIFY)


class LetterRepository:
    """Letters, in one unit of work."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def page(self, wanted: Mapping[str, Any]) -> Sequence[LetterView]:
        """Return a page, the newest first."""
        rows = (await self._session.execute(_LETTERS, wanted)).mappings()
        return [msgspec.convert(dict(row), LetterView) for row in rows]

    async def find(self, letter_id: UUID) -> dict[str, Any] | None:
        """Return a letter with ``headers`` and ``body``."""
        row = (await self._session.execute(_LETTER, {"id": letter_id})).mappings().one_or_none()
        return None if row is None else dict(row)

    async def again(self, letter_id: UUID) -> LetterView | None:
        """Have a dead letter tried again; None where it is not dead."""
        row = (await self._session.execute(_AGAIN, {"id": letter_id})).mappings().one_or_none()
        return None if row is None else msgspec.convert(dict(row), LetterView)

    async def all_again(self, source_id: UUID, reason: str | None, limit: int) -> int:
        """Have dead letters tried again; return how many."""
        values = {"source_id": source_id, "reason": reason, "limit": limit}
        result = await self._session.execute(_ALL_AGAIN, values)
        return int(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it

    async def discard(self, letter_id: UUID) -> UUID | None:
        """Throw a letter away that is not about to be tried; return its source."""
        found: UUID | None = await self._session.scalar(_DISCARD, {"id": letter_id})
        return found


def view(row: RowMapping) -> SourceView:
    """Show a source."""
    fields = {name: row[name] for name in SourceView.__struct_fields__ if name != "state"}
    return msgspec.convert({**fields, "state": _state(row)}, SourceView)


def _state(row: RowMapping) -> SourceState:
    if row["is_paused"]:
        return "paused"
    return "failing" if row["consecutive_failures"] else "running"


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    packed = {name: msgspec.json.encode(values[name]).decode() for name in ("origin", "destination")}
    return {**values, **packed}
