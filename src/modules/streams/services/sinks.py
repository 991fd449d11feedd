"""Make, change, rewind and delete sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from modules.streams.dtos import Format, SinkRows
from modules.streams.errors import SinkInvalid, TooManySinks
from modules.streams.events import (
    StreamSinkCreated,
    StreamSinkDeleted,
    StreamSinkRewound,
    StreamSinkUpdated,
)
from modules.streams.matching import watcher_of
from modules.streams.models import StreamSink
from modules.streams.repositories import Place, SinkRepository
from modules.streams.services.rules import (
    NO_SINK,
    demand_patterns,
    demand_rows,
    demand_tables,
    demand_target,
    stored,
    view,
)
from modules.streams.targets import Target, address_of, shown
from monohull.kernel import clock, outbox
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.errors import InvalidRequest, NotFound
from monohull.kernel.ids import uuid7
from monohull.kernel.rows import unwatch, watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.streams.dtos import CreateSink, Rewind, SinkPatch, SinkView
    from modules.streams.sealing import Vault
    from modules.streams.settings import StreamsSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


class Sinks:
    """The sinks of this instance.

    Args:
        database: Where they are.
        vault: Seals targets.
        settings: How many there may be.
    """

    def __init__(self, database: Database, vault: Vault, settings: StreamsSettings) -> None:
        self._database = database
        self._vault = vault
        self._settings = settings

    async def page(self, limit: int, behind: UUID | None) -> Sequence[SinkView]:
        """Return a page, the oldest first."""
        async with self._database.unit_of_work() as work:
            sinks = SinkRepository(work)
            rows = await sinks.page(limit, behind)
            places = await sinks.places(row.id for row in rows)
            return [view(row, places.get(row.id, Place())) for row in rows]

    async def get(self, sink_id: UUID) -> SinkView:
        """Return a sink.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            sinks = SinkRepository(work)
            if (row := await sinks.find_by_id(sink_id)) is None:
                raise NotFound(NO_SINK)
            return await _view(sinks, row)

    async def create(self, wanted: CreateSink, by: Principal) -> SinkView:
        """Make a sink, for what happens from now on.

        Raises:
            SinkInvalid, SinkKindUnavailable, RowsNotWatchable: 400. Forbidden: 403. TooManySinks: 409.
            RowsInUse: 503.
        """
        demand_target(wanted.target, wanted.format)
        demand_patterns(wanted.events)
        demand_tables(stored(wanted.rows))
        demand_rows(by, wanted.rows, wanted.rows)
        row = self._row(wanted)
        async with self._database.unit_of_work() as work:
            await _watch(work, row.id, wanted.rows)
            sinks = SinkRepository(work)
            await sinks.lock()
            if await sinks.count_all() >= self._settings.max_sinks:
                raise TooManySinks(f"There are {self._settings.max_sinks} sinks already.")
            work.add(row)
            await sinks.join_feed(row.id)
            created = StreamSinkCreated(
                sink_id=str(row.id),
                sink_name=row.name,
                kind=row.kind,
                address=row.address,
                events=tuple(row.events),
                tables=_tables(row),
            )
            await outbox.publish(work, created, key=created.sink_id)
            await sinks.notify()
            await work.flush()
            return await _view(sinks, row)

    async def change(self, sink_id: UUID, patch: SinkPatch, by: Principal) -> SinkView:
        """Change, pause or resume a sink; from the next batch of events on.

        A sink that is paused keeps its place, and its tables stay watched.

        Raises:
            NotFound: 404. SinkInvalid, SinkKindUnavailable, RowsNotWatchable: 400. Forbidden: 403.
            RowsInUse: 503.
        """
        given = {name: value for name, value in msgspec.structs.asdict(patch).items() if value is not UNSET}
        demand_patterns(given.get("events", ()))
        demand_tables(stored(given.get("rows", ())))
        async with self._database.unit_of_work() as work:
            sinks = SinkRepository(work)
            if "rows" in given:
                # who may not is refused before any writer waits, and tables are waited for before the sink
                _demand_rows(by, await sinks.find_by_id(sink_id), given)
                await unwatch(work, watcher=watcher_of(sink_id))
                await _watch(work, sink_id, given["rows"])
            row = await _get(sinks, sink_id)
            _demand_rows(by, row, given)
            self._demand_target(row, given)
            if changed := self._apply(row, given):
                row.revision += 1
                row.consecutive_failures, row.failing_since, row.next_attempt_at = 0, None, None
                row.updated_at = clock.now()
                await _publish_change(work, row, changed)
                await sinks.notify()
            await work.flush()
            return await _view(sinks, row)

    async def rewind(self, sink_id: UUID, wanted: Rewind) -> SinkView:
        """Have a sink go on after a number of the feed, or with a time, back or forth.

        Raises:
            NotFound: 404. InvalidRequest: 400.
        """
        if wanted.time is not None and wanted.time.tzinfo is None:
            raise InvalidRequest("A time needs its zone.", hint="Write Z behind it for UTC.")
        async with self._database.unit_of_work() as work:
            sinks = SinkRepository(work)
            row = await _get(sinks, sink_id)
            sequence = wanted.sequence
            if wanted.time is not None:
                sequence = await sinks.sequence_at(wanted.time)
            await sinks.join_feed(sink_id)
            before, after = await sinks.rewind(sink_id, sequence or 0)
            rewound = StreamSinkRewound(
                sink_id=str(sink_id), sink_name=row.name, from_sequence=before, to_sequence=after
            )
            await outbox.publish(work, rewound, key=rewound.sink_id)
            return await _view(sinks, row)

    async def delete(self, sink_id: UUID) -> None:
        """Delete a sink with its place in the feed.

        Raises:
            NotFound: 404. RowsInUse: 503.
        """
        async with self._database.unit_of_work() as work:
            await unwatch(work, watcher=watcher_of(sink_id))
            sinks = SinkRepository(work)
            row = await _get(sinks, sink_id)
            deleted = StreamSinkDeleted(sink_id=str(row.id), sink_name=row.name)
            await outbox.publish(work, deleted, key=deleted.sink_id)
            await sinks.remove(row)
            await sinks.notify()

    async def target_of(self, sink_id: UUID) -> tuple[Target, Format]:
        """Return where a sink sends to, with passwords, and how.

        Raises:
            NotFound: 404. SinkInvalid: 400, it was sealed under another secret of the instance.
        """
        async with self._database.unit_of_work() as work:
            if (row := await SinkRepository(work).find_by_id(sink_id)) is None:
                raise NotFound(NO_SINK)
            return self._open(row), msgspec.convert(row.format, Format)

    def _row(self, wanted: CreateSink) -> StreamSink:
        sink_id, now = uuid7(), clock.now()
        return StreamSink(
            id=sink_id,
            name=wanted.name,
            **self._target_columns(sink_id, wanted.target),
            events=list(wanted.events),
            rows=stored(wanted.rows),
            format=wanted.format,
            is_paused=wanted.is_paused,
            revision=1,
            delivered=0,
            consecutive_failures=0,
            created_at=now,
            updated_at=now,
        )

    def _target_columns(self, sink_id: UUID, target: Target) -> dict[str, Any]:
        return {
            "kind": target.kind,
            "address": address_of(target),
            "target": shown(target),
            "sealed_target": self._vault.close(sink_id, target),
        }

    def _demand_target(self, row: StreamSink, given: dict[str, Any]) -> None:
        if not given.keys() & {"target", "format"}:
            return
        demand_target(given.get("target") or self._open(row), given.get("format", row.format))

    def _open(self, row: StreamSink) -> Target:
        try:
            return self._vault.open(row.id, row.sealed_target)
        except DecryptionError as error:
            raise SinkInvalid(
                "The target was sealed under another secret of the instance.", hint="Give the target anew."
            ) from error

    def _apply(self, row: StreamSink, given: dict[str, Any]) -> frozenset[str]:
        """Put what is given into the row; return the fields that are other than before."""
        changed = set()
        for name, value in given.items():
            if name == "target":
                for column, kept in self._target_columns(row.id, value).items():
                    setattr(row, column, kept)
                changed.add(name)
                continue
            kept = stored(value) if name == "rows" else list(value) if name == "events" else value
            if getattr(row, name) != kept:
                setattr(row, name, kept)
                changed.add(name)
        return frozenset(changed)


def _demand_rows(by: Principal, row: StreamSink | None, given: dict[str, Any]) -> None:
    if row is None:
        raise NotFound(NO_SINK)
    present = msgspec.convert(row.rows, tuple[SinkRows, ...])
    wanted = given.get("rows", ())
    demand_rows(by, (*present, *wanted), wanted)


async def _watch(work: AsyncSession, sink_id: UUID, rows: Iterable[SinkRows]) -> None:
    for one in rows:
        await watch(
            work,
            watcher=watcher_of(sink_id),
            relation=(one.schema, one.table),
            operations=tuple(one.operations),
            columns=one.columns,
            condition=one.condition,
        )


async def _get(sinks: SinkRepository, sink_id: UUID) -> StreamSink:
    if (row := await sinks.find_locked(sink_id)) is None:
        raise NotFound(NO_SINK)
    return row


async def _view(sinks: SinkRepository, row: StreamSink) -> SinkView:
    return view(row, (await sinks.places([row.id])).get(row.id, Place()))


async def _publish_change(work: AsyncSession, row: StreamSink, changed: frozenset[str]) -> None:
    updated = StreamSinkUpdated(
        sink_id=str(row.id),
        sink_name=row.name,
        fields=tuple(sorted(changed)),
        kind=row.kind,
        address=row.address,
        events=tuple(row.events),
        tables=_tables(row),
        is_paused=row.is_paused,
    )
    await outbox.publish(work, updated, key=updated.sink_id)


def _tables(row: StreamSink) -> tuple[str, ...]:
    return tuple(f"{one['schema']}.{one['table']}" for one in row.rows)
