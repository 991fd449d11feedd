"""A reader of the feed: in every worker, done by the one that holds its lock.

    async def handle(connection: asyncpg.Connection, events: Sequence[Envelope]) -> None: ...

    FeedReader(runtime.database, runtime.observer, "webhooks.fanout", handle).running()

Each reader has a name, a lock and a place of its own in ``monohull.feed_readers``,
so that none holds up another. It is woken by ``NOTIFY``, if there may be something
for it, and looks once a second besides. What its handler raises is observed and tried again, later and later;
the place stays where it is until the handler has done with the batch.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from monohull.kernel.feed import BATCH, CHANNEL, feed_end, is_concerned, read_feed
from monohull.kernel.leadership import POLL_SECONDS, lead_for_ever
from monohull.kernel.observation import Observation
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    import asyncpg

    from monohull.kernel.database.engine import Database
    from monohull.kernel.events import Envelope
    from monohull.kernel.observation import Observer

    Handle: TypeAlias = Callable[[asyncpg.Connection, Sequence[Envelope]], Awaitable[None]]

FIRST_DELAY_SECONDS: Final = 1.0
LAST_DELAY_SECONDS: Final = 60.0
TIMEOUT_SECONDS: Final = 60.0
"""A connection on which the place cannot be read for so long is given up."""

_JOIN: Final = """
    insert into monohull.feed_readers (name, sequence)
    select $1, case when $2 then 0 else sequence end from monohull.feed_end
    on conflict (name) do nothing
"""
_PLACE: Final = "select sequence from monohull.feed_readers where name = $1"
_MOVE: Final = """
    update monohull.feed_readers set sequence = $2, moved_at = now() where name = $1 and sequence = $3
"""
_REWIND: Final = """
    with moved as (
        update monohull.feed_readers as r set sequence = least($2, e.sequence), moved_at = now()
        from monohull.feed_end as e where r.name = $1
        returning 1
    )
    select true as is_known, pg_notify('monohull_feed', '') from moved
"""
_FORGET: Final = "delete from monohull.feed_readers where name = $1"
_LAGS: Final = """
    select r.name, r.sequence, e.sequence - r.sequence as events,
           coalesce(greatest(extract(epoch from now() - oldest.relayed_at), 0), 0)::float8 as oldest_seconds
    from monohull.feed_readers as r
    cross join monohull.feed_end as e
    left join lateral (
        select relayed_at from monohull.outbox
        where sequence > r.sequence order by sequence limit 1
    ) as oldest on true
    order by r.name
"""


class FeedReaderLeads(Observation, frozen=True, kw_only=True):
    """This process is the one in which a reader of the feed works."""

    event = "feed.reader_leads"
    level = "debug"

    reader: str


class FeedReaderStopped(Observation, frozen=True, kw_only=True):
    """A reader of the feed no longer works in this process; it will in another one, or here again."""

    event = "feed.reader_stopped"
    level = "warning"

    reader: str
    reason: str


class FeedReaderFailed(Observation, frozen=True, kw_only=True):
    """A reader of the feed could not do with a batch of events; it tries the same ones again."""

    event = "feed.reader_failed"
    level = "error"

    reader: str
    after: int
    reason: str
    next_seconds: float


class EventsRead(Observation, frozen=True, kw_only=True):
    """A reader of the feed has done with a batch of events."""

    event = "feed.events_read"
    level = "debug"

    reader: str
    events: int


class ReaderLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a reader is behind.

    Attributes:
        name: The reader's.
        sequence: It has done with everything up to this number.
        events: Events after that, also those that it does not care for.
        oldest_seconds: How long ago the first of them was relayed; 0.0 when there is none.
    """

    name: str
    sequence: int
    events: int
    oldest_seconds: float


class FeedReader:
    """One candidate for reading.

    Args:
        database: Gives the connection that holds the lock.
        observer: Told who leads, and what fails.
        name: ``module.purpose``, or with an id behind it; stored, so never changed.
        handle: Does with a batch what is to be done. In a transaction, it works on the connection it is
            given, and its effect is there exactly once. Without, it may call others, and has to bear
            that a batch comes again.
        patterns: Names or patterns of the events it wants.
        watcher: How the names of those begin for whom it wants events of rows; None wants them all.
        in_transaction: Whether a transaction is open around the handler.
        from_beginning: Whether a reader that is new begins with the oldest event that is kept, and not
            with what comes from now on.
        batch: At most so many events at a time.
    """

    def __init__(  # noqa: PLR0913 each has its own meaning
        self,
        database: Database,
        observer: Observer,
        name: str,
        handle: Handle,
        *,
        patterns: Iterable[str] = ("*",),
        in_transaction: bool = True,
        from_beginning: bool = False,
        batch: int = BATCH,
        watcher: str | None = None,
    ) -> None:
        self.name = name
        self._database = database
        self._observer = observer
        self._handle = handle
        self._patterns = tuple(patterns)
        self._in_transaction = in_transaction
        self._from_beginning = from_beginning
        self._batch = batch
        self._watcher = watcher
        self._wake = asyncio.Event()
        self._delay = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read, or wait to read, for as long as the block runs."""
        async with beside(self.run(), name=f"feed reader {self.name}"):
            yield

    async def run(self) -> None:
        """Read whenever the lock is free, for ever."""
        await lead_for_ever(self._database, lock_of(self.name), self._lead, self._stopped)

    def _stopped(self, reason: str) -> None:
        self._observer.observe(FeedReaderStopped(reader=self.name, reason=reason))

    async def _lead(self, connection: asyncpg.Connection) -> None:
        await connection.add_listener(CHANNEL, self._on_notification)
        connection.add_termination_listener(self._on_termination)
        self._observer.observe(FeedReaderLeads(reader=self.name))
        while True:
            self._wake.clear()
            async with asyncio.timeout(TIMEOUT_SECONDS):
                after = await self._place(connection)
            try:
                is_more = await self._read(connection, after)
            except Exception as error:  # the boundary: a handler's defect must not end the worker
                if connection.is_closed():
                    raise ConnectionResetError(str(error) or type(error).__name__) from error
                await self._fail(after, error)
                continue
            self._delay = 0.0
            if not is_more:
                await self._rest()

    async def _place(self, connection: asyncpg.Connection) -> int:
        """Return up to where this reader has done its work, and join the readers if it is none of them."""
        while (after := await connection.fetchval(_PLACE, self.name)) is None:
            await connection.execute(_JOIN, self.name, self._from_beginning)
        return int(after)

    async def _read(self, connection: asyncpg.Connection, after: int) -> bool:
        """Do with the next events; return whether there may be more."""
        end = await feed_end(connection)
        events = await read_feed(
            connection, after=after, limit=self._batch, patterns=self._patterns, watcher=self._watcher
        )
        if not events:
            if end > after:
                await connection.execute(_MOVE, self.name, end, after)
            return False
        if self._in_transaction:
            async with connection.transaction():
                # first, so that whoever rewinds the reader waits for this batch, or this batch sees it
                if await self._move(connection, events[-1].sequence, after):
                    await self._handle(connection, events)
        else:
            await self._handle(connection, events)
            await self._move(connection, events[-1].sequence, after)
        self._observer.observe(EventsRead(reader=self.name, events=len(events)))
        return True

    async def _move(self, connection: asyncpg.Connection, to: int, after: int) -> bool:
        """Move the place on; False when it was moved elsewhere meanwhile, or the reader forgotten."""
        return bool(await connection.execute(_MOVE, self.name, to, after) == "UPDATE 1")

    async def _fail(self, after: int, error: Exception) -> None:
        self._delay = min(max(self._delay * 2, FIRST_DELAY_SECONDS), LAST_DELAY_SECONDS)
        self._observer.observe(
            FeedReaderFailed(
                reader=self.name,
                after=after,
                reason=f"{type(error).__name__}: {error}",
                next_seconds=self._delay,
            )
        )
        await asyncio.sleep(self._delay)

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    def _on_notification(self, _: object, __: int, ___: str, message: object) -> None:
        if is_concerned(str(message), watcher=self._watcher, patterns=self._patterns):
            self._wake.set()

    def _on_termination(self, _: object) -> None:
        self._wake.set()


def lock_of(name: str) -> int:
    """Return the key of the advisory lock that the reader called ``name`` leads under."""
    return int.from_bytes(blake2b(f"monohull.feed:{name}".encode(), digest_size=8).digest(), signed=True)


async def rewind_reader(connection: asyncpg.Connection, name: str, sequence: int) -> bool:
    """Have a reader go on after ``sequence``, back or forth; return whether there is such a reader.

    For a time, ask `feed.feed_sequence_at`.
    """
    return await connection.fetchval(_REWIND, name, sequence) is not None


async def forget_reader(connection: asyncpg.Connection, name: str) -> None:
    """Forget a reader that will not read again, so that the outbox does not keep events for it."""
    await connection.execute(_FORGET, name)


async def reader_lags(database: Database) -> list[ReaderLag]:
    """Return how far each reader is behind.

    Raises:
        DatabaseUnavailable: 503.
    """
    async with database.connected() as connection:
        rows = (await connection.exec_driver_sql(_LAGS)).mappings()
        return [msgspec.convert(dict(row), ReaderLag) for row in rows]
