"""Who carries events to which sink: in every worker, and for each sink the one that holds its lock.

One connection holds the locks of all sinks that this process leads for, listens for news of the feed, and
looks for changed sinks once a second. When it is lost, so are the locks: the sinks end here, and another
process, or this one, goes on from their places. Two that overlap for a moment send some events twice, and
each of them in order.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec

from modules.streams.delivering import Delivering, Sink
from modules.streams.matching import reader_of
from modules.streams.observations import SinkLed, StreamsStalled
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.feed import CHANNEL as FEED_CHANNEL
from monohull.kernel.feed_reader import lock_of
from monohull.kernel.leadership import KEEPALIVE, POLL_SECONDS
from monohull.kernel.tasks import beside, end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    import asyncpg

    from modules.streams.cloudevents import Envelopes
    from modules.streams.sealing import Vault
    from modules.streams.settings import StreamsSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

CHANNEL: Final = "monohull_streams"
"""What is notified when a sink was made or changed."""
TIMEOUT_SECONDS: Final = 60.0

_SINKS: Final = "select id, revision from monohull.stream_sinks where not is_paused order by id"
_SINK: Final = """
    select revision, sealed_target, format, events, rows <> '[]' as has_rows, consecutive_failures
    from monohull.stream_sinks where id = $1 and not is_paused
"""
_TRY: Final = "select pg_try_advisory_lock($1)"
_FREE: Final = "select pg_advisory_unlock($1)"
_END: Final = "select sequence from monohull.feed_end"
_UNREADABLE: Final = """
    update monohull.stream_sinks
    set consecutive_failures = consecutive_failures + 1, failing_since = coalesce(failing_since, now()),
        last_error = 'The target cannot be opened: it was sealed under another secret of the instance. '
            'Give the target anew.',
        last_error_at = now(), next_attempt_at = null
    where id = $1 and consecutive_failures = 0
"""


class Claims:
    """The sinks that this process leads for.

    Args:
        database: Where they are; gives the connection that holds the locks.
        vault: Opens targets.
        envelopes: Make messages.
        settings: Of streams.
        observer: Told who leads, and what fails.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        envelopes: Envelopes,
        settings: StreamsSettings,
        observer: Observer,
    ) -> None:
        self._database = database
        self._vault = vault
        self._envelopes = envelopes
        self._settings = settings
        self._observer = observer
        self._running: dict[UUID, tuple[Delivering, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._end = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry events for as long as the block runs."""
        async with beside(self.run(), name="streams"):
            yield

    async def run(self) -> None:
        """Claim sinks and carry events to them, for ever."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await self._hold(connection)
            except Exception as error:  # noqa: BLE001 the boundary: nobody else would claim in this process
                self._observer.observe(StreamsStalled(reason=f"{type(error).__name__}: {error}"))
            await asyncio.sleep(POLL_SECONDS)

    async def _hold(self, connection: asyncpg.Connection) -> None:
        await connection.execute(KEEPALIVE)
        await connection.add_listener(CHANNEL, self._on_change)
        await connection.add_listener(FEED_CHANNEL, self._on_feed)
        connection.add_termination_listener(self._on_change)
        try:
            while True:
                self._wake.clear()
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._look(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
        finally:
            await asyncio.gather(*(self._stop(sink_id) for sink_id in list(self._running)))

    async def _look(self, connection: asyncpg.Connection) -> None:
        """End what is changed, paused, deleted or broken; begin what nobody leads for; wake the others."""
        wanted = {row["id"]: row["revision"] for row in await connection.fetch(_SINKS)}
        for sink_id, (delivering, task) in list(self._running.items()):
            if wanted.get(sink_id) != delivering.sink.revision or task.done():
                await self._stop(sink_id)
                await connection.execute(_FREE, lock_of(reader_of(sink_id)))
        for sink_id in wanted:
            if sink_id not in self._running:
                await self._claim(connection, sink_id)
        if (sequence := await connection.fetchval(_END)) != self._end:
            self._end = sequence
            self._wake_all()

    async def _claim(self, connection: asyncpg.Connection, sink_id: UUID) -> None:
        lock = lock_of(reader_of(sink_id))
        if not await connection.fetchval(_TRY, lock):
            return
        row = await connection.fetchrow(_SINK, sink_id)  # as it is, now that nobody else leads
        sink = None if row is None else await self._opened(connection, sink_id, row)
        if sink is None:
            await connection.execute(_FREE, lock)
            return
        delivering = Delivering(self._database, self._envelopes, self._settings, self._observer, sink)
        task = asyncio.create_task(delivering.run(), name=f"sink {sink_id}")
        self._running[sink_id] = (delivering, task)
        self._observer.observe(SinkLed(sink_id=str(sink_id)))

    async def _opened(
        self, connection: asyncpg.Connection, sink_id: UUID, row: Mapping[str, object]
    ) -> Sink | None:
        try:
            target = self._vault.open(sink_id, str(row["sealed_target"]))
        except (DecryptionError, msgspec.DecodeError):
            await connection.execute(_UNREADABLE, sink_id)
            return None
        fields = {
            "id": sink_id,
            "revision": row["revision"],
            "target": target,
            "format": row["format"],
            "patterns": row["events"],
            "has_rows": row["has_rows"],
            "failures": row["consecutive_failures"],
        }
        return msgspec.convert(fields, Sink)

    async def _stop(self, sink_id: UUID) -> None:
        _, task = self._running.pop(sink_id)
        try:
            await end(task)
        except Exception as error:  # noqa: BLE001 the boundary: a defect of one sink ends no other
            self._observer.observe(StreamsStalled(reason=f"{type(error).__name__}: {error}"))

    def _wake_all(self) -> None:
        for delivering, _ in self._running.values():
            delivering.wake()

    def _on_feed(self, *_: object) -> None:
        self._wake_all()

    def _on_change(self, *_: object) -> None:
        self._wake.set()
