"""Sinks and their places in the feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from sqlalchemy import func, select, text

from modules.streams.matching import reader_of
from modules.streams.models import StreamSink
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

_LOCK: Final = text("select pg_advisory_xact_lock(hashtext('monohull.stream_sinks'))")
_NOTIFY: Final = text("select pg_notify('monohull_streams', '')")
_JOIN: Final = text(
    """
    insert into monohull.feed_readers (name, sequence) select :name, sequence from monohull.feed_end
    on conflict (name) do nothing
    """
)
_FORGET: Final = text("delete from monohull.feed_readers where name = :name")
_PLACES: Final = text(
    """
    select r.name, r.sequence, e.sequence - r.sequence as lag_events,
           coalesce(greatest(extract(epoch from now() - oldest.relayed_at), 0), 0)::float8 as lag_seconds
    from monohull.feed_readers as r cross join monohull.feed_end as e
    left join lateral (
        select relayed_at from monohull.outbox where sequence > r.sequence order by sequence limit 1
    ) as oldest on true
    where r.name = any (:names)
    """
)
_SEQUENCE_AT: Final = text(
    """
    select coalesce((select min(sequence) - 1 from monohull.outbox where relayed_at >= :at), e.sequence)
    from monohull.feed_end as e
    """
)
_REWIND: Final = text(
    """
    update monohull.feed_readers as r set sequence = least(:sequence, e.sequence), moved_at = now()
    from monohull.feed_end as e, (
        select sequence from monohull.feed_readers where name = :name for update
    ) as before
    where r.name = :name
    returning before.sequence as before, r.sequence as after, pg_notify('monohull_feed', '')
    """
)


class Place(Struct, frozen=True, kw_only=True):
    """How far a sink is: it has everything up to ``sequence``."""

    sequence: int = 0
    lag_events: int = 0
    lag_seconds: float = 0.0


class SinkRepository(Repository[StreamSink]):
    """Sinks."""

    model_type = StreamSink

    async def lock(self) -> None:
        """Let one at a time make sinks, so that there are no more than allowed."""
        await self.session.execute(_LOCK)

    async def page(self, limit: int, behind: UUID | None) -> Sequence[StreamSink]:
        """Return a page, the oldest first."""
        conditions = () if behind is None else (StreamSink.id > behind,)
        return await self.list_by(*conditions, order_by=(StreamSink.id,), limit=limit)

    async def count_all(self) -> int:
        return await self.session.scalar(select(func.count()).select_from(StreamSink)) or 0

    async def find_locked(self, sink_id: UUID) -> StreamSink | None:
        """Return a sink that nobody else changes until this is committed."""
        statement = select(StreamSink).where(StreamSink.id == sink_id).with_for_update(key_share=True)
        found = await self.session.scalars(statement.execution_options(populate_existing=True))
        return found.one_or_none()

    async def places(self, sink_ids: Iterable[UUID]) -> Mapping[UUID, Place]:
        """Return how far sinks are."""
        names = {reader_of(sink_id): sink_id for sink_id in sink_ids}
        rows = (await self.session.execute(_PLACES, {"names": list(names)})).mappings()
        return {
            names[row["name"]]: Place(
                sequence=row["sequence"],
                lag_events=max(0, row["lag_events"]),
                lag_seconds=row["lag_seconds"],
            )
            for row in rows
        }

    async def join_feed(self, sink_id: UUID) -> None:
        """Give a sink that has none a place: what is relayed from now on comes after it."""
        await self.session.execute(_JOIN, {"name": reader_of(sink_id)})

    async def sequence_at(self, at: datetime) -> int:
        """Return the number after which everything comes that was relayed at a time or later."""
        found: int = (await self.session.execute(_SEQUENCE_AT, {"at": at})).scalar_one()
        return found

    async def rewind(self, sink_id: UUID, sequence: int) -> tuple[int, int]:
        """Have a sink go on after a number, back or forth; return its place before and after."""
        row = (await self.session.execute(_REWIND, {"name": reader_of(sink_id), "sequence": sequence})).one()
        return row.before, row.after

    async def notify(self) -> None:
        """Tell the workers of the change once it is committed."""
        await self.session.execute(_NOTIFY)

    async def remove(self, sink: StreamSink) -> None:
        """Delete a sink with its place in the feed."""
        await self.session.delete(sink)
        await self.session.flush()
        # after that, so that whoever carries events finds no sink to give a place to again
        await self.session.execute(_FORGET, {"name": reader_of(sink.id)})
