"""One sink: what comes next in the feed → messages → the broker's acknowledgement → the place moves on.

No transaction and no connection to the database is held while a broker is waited for. The place moves only
from where it was read, so that whoever rewinds a sink meanwhile is obeyed.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 msgspec reads it

from msgspec import Struct

from modules.streams.cloudevents import waves_of
from modules.streams.dtos import Format  # noqa: TC001 as above
from modules.streams.matching import read_patterns, reader_of, wants, watcher_of
from modules.streams.message_spans import sending
from modules.streams.observations import SinkFailed, SinkRecovered, SinkTook
from modules.streams.targets import HIDDEN, Target, secrets_of, template_of
from modules.streams.transports import NotTaken, open_transport
from monohull.kernel import clock
from monohull.kernel.errors import Problem
from monohull.kernel.feed import feed_end, read_feed
from monohull.kernel.queues import Backoff
from monohull.kernel.tracing import OFF

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from modules.streams.cloudevents import Envelopes, Message
    from modules.streams.settings import StreamsSettings
    from modules.streams.transports import Transport
    from monohull.kernel.database.engine import Database
    from monohull.kernel.events import Envelope
    from monohull.kernel.observation import Observer
    from monohull.kernel.tracing import Tracing

REST_SECONDS: Final = 30.0
"""A sink is woken when there is something; this is for whatever nobody woke it for."""
MAX_ERROR_CHARACTERS: Final = 1000

_PLACE: Final = "select sequence from monohull.feed_readers where name = $1"
_JOIN: Final = """
    insert into monohull.feed_readers (name, sequence)
    select $1, e.sequence from monohull.feed_end as e, (
        select 1 from monohull.stream_sinks where id = $2 for key share
    ) as sink
    on conflict (name) do nothing
"""
_MOVE: Final = """
    update monohull.feed_readers set sequence = $2, moved_at = now() where name = $1 and sequence = $3
"""
_TOOK: Final = """
    with moved as (
        update monohull.feed_readers set sequence = $2, moved_at = now() where name = $1 and sequence = $3
        returning 1
    )
    update monohull.stream_sinks
    set delivered = delivered + case when exists (select from moved) then $5 else 0 end,
        last_delivered_at = now(), consecutive_failures = 0,
        failing_since = null, next_attempt_at = null
    where id = $4
"""
"""What was sent twice because two led for a moment is counted by the one that moved the place."""
_FAILED: Final = """
    update monohull.stream_sinks
    set consecutive_failures = consecutive_failures + 1, failing_since = coalesce(failing_since, now()),
        last_error = $2, last_error_at = now(), next_attempt_at = now() + make_interval(secs => $3)
    where id = $1
"""


class Sink(Struct, frozen=True, kw_only=True):
    """A sink as it is carried to; another revision is another one."""

    id: UUID
    revision: int
    target: Target
    format: Format
    patterns: tuple[str, ...]
    has_rows: bool = False
    failures: int = 0


class Delivering:
    """Carries events to one sink in this process, which leads for it.

    Args:
        database: Where the feed is.
        envelopes: Make messages.
        settings: How many at a time, and how long to wait.
        observer: Told what was taken and what failed.
        sink: Where to.
        tracing: Records the messages whose event belongs to a trace that is.
    """

    def __init__(  # noqa: PLR0913, PLR0917 each is a part of the process
        self,
        database: Database,
        envelopes: Envelopes,
        settings: StreamsSettings,
        observer: Observer,
        sink: Sink,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self.sink = sink
        self._database = database
        self._envelopes = envelopes
        self._settings = settings
        self._observer = observer
        self._reader = reader_of(sink.id)
        self._patterns = read_patterns(sink.patterns, has_rows=sink.has_rows)
        self._template = template_of(sink.target)
        self._backoff = Backoff(settings.retry_base_seconds, 2.0, settings.retry_max_seconds)
        self._failures = sink.failures
        self._transport: Transport | None = None
        self._wake = asyncio.Event()

    @property
    def revision(self) -> int:
        return self.sink.revision

    def wake(self) -> None:
        """Look at once; there may be more."""
        self._wake.set()

    async def run(self) -> None:
        """Carry whatever comes, for ever."""
        try:
            while True:
                self._wake.clear()
                try:
                    is_more = await self._round()
                except Problem as problem:
                    await self._rest(problem)
                except Exception as error:  # noqa: BLE001 the boundary: a broker's trouble ends nothing but this try
                    await self._fail(error)
                else:
                    if not is_more:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(REST_SECONDS):
                                await self._wake.wait()
        finally:
            await self._hang_up()

    async def _round(self) -> bool:
        """Carry the next batch; return whether there may be more."""
        async with self._connection() as connection:
            if (after := await self._place(connection)) is None:
                return False
            end = await feed_end(connection)
            events = await read_feed(
                connection,
                after=after,
                limit=self._settings.batch,
                patterns=self._patterns,
                watcher=watcher_of(self.sink.id),
            )
            wanted = self._wanted(events)
            to = events[-1].sequence if events else end
            if not wanted:
                if to > after:
                    await connection.execute(_MOVE, self._reader, to, after)
                return bool(events)
        began = clock.monotonic_seconds()
        await self._send(wanted)
        async with self._connection() as connection:
            await connection.execute(_TOOK, self._reader, to, after, self.sink.id, len(wanted))
        self._tell_taken(len(wanted), to, clock.monotonic_seconds() - began)
        return True

    async def _place(self, connection: asyncpg.Connection) -> int | None:
        """Return up to where the sink has everything; None when it was deleted."""
        after: int | None = await connection.fetchval(_PLACE, self._reader)
        if after is None:
            await connection.execute(_JOIN, self._reader, self.sink.id)
            after = await connection.fetchval(_PLACE, self._reader)
        return after

    def _wanted(self, events: Sequence[Envelope]) -> list[Message]:
        sink, watcher = self.sink, watcher_of(self.sink.id)
        return [
            self._envelopes.message(event, sink.format, self._template)
            for event in events
            if wants(event, sink.patterns, watcher)
        ]

    async def _send(self, messages: list[Message]) -> None:
        """Have the broker take messages, those of a key one after the other."""
        seconds = self._settings.timeout_seconds
        if self._transport is None:
            async with asyncio.timeout(seconds):
                self._transport = await open_transport(self.sink.target, timeout_seconds=seconds)
        for wave in [messages] if self._transport.is_whole else waves_of(messages):
            with sending(self._tracing, wave, self.sink.target.kind) as told:
                async with asyncio.timeout(seconds):
                    await self._transport.send(told)

    async def _fail(self, error: Exception) -> None:
        """Write down why it failed, and wait."""
        await self._hang_up()
        self._failures += 1
        seconds = self._backoff.delay_seconds(self._failures)
        reason = describe(error, secrets_of(self.sink.target))
        self._observer.observe(
            SinkFailed(
                sink_id=str(self.sink.id),
                kind=self.sink.target.kind,
                reason=reason,
                failures=self._failures,
                next_seconds=round(seconds, 3),
            )
        )
        with suppress(Problem):  # the database is away as well: the log has it
            async with self._connection() as connection:
                await connection.execute(_FAILED, self.sink.id, reason, seconds)
        await asyncio.sleep(seconds)

    async def _rest(self, problem: Problem) -> None:
        """Wait for the database; that it is away is no fault of the sink."""
        del problem
        await asyncio.sleep(self._settings.retry_base_seconds)

    def _tell_taken(self, events: int, sequence: int, seconds: float) -> None:
        if self._failures:
            self._observer.observe(SinkRecovered(sink_id=str(self.sink.id), failures=self._failures))
        self._failures = 0
        self._observer.observe(
            SinkTook(
                sink_id=str(self.sink.id),
                events=events,
                sequence=sequence,
                duration_seconds=round(seconds, 4),
            )
        )

    async def _hang_up(self) -> None:
        if (transport := self._transport) is None:
            return
        self._transport = None
        await hang_up(transport)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend the driver's connection out of the pool.

        Raises:
            DatabaseUnavailable: 503. PoolExhausted: 503.
        """
        async with self._database.connected() as pooled:
            raw: Any = await pooled.get_raw_connection()
            yield raw.driver_connection


async def hang_up(transport: Transport) -> None:
    """Close a connection to a broker that may be gone."""
    with suppress(Exception):  # whatever the library says of a connection that is given up
        async with asyncio.timeout(5.0):
            await transport.close()


def describe(error: BaseException, secrets: frozenset[str]) -> str:
    """Say why a broker did not take a message, without what is secret.

    >>> describe(ConnectionRefusedError("no way to amqp://me:hush@host"), frozenset({"hush"}))
    'ConnectionRefusedError: no way to amqp://me:***@host'
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError) and not str(error):
        return "TimeoutError: the broker did not answer in time"
    text = str(error) if isinstance(error, NotTaken) else f"{type(error).__name__}: {error}"
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_ERROR_CHARACTERS]
