"""The relay: carries what was committed to the workers, one relay at a time.

It runs in every worker process; the one that holds the session's advisory lock
leads and the others ask for the lock once a second. Everything it reads and
writes goes over the connection that holds the lock: when that breaks, the lock
is gone and so is its way to say that something was done. A relay that did not
notice yet can only enqueue what another one enqueues too, under the same key.

Subscribers are those of the leading process. While a new version is rolled
out, an event may still be relayed by the old one, which does not know them.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

from monohull.kernel.clock import monotonic_seconds, now
from monohull.kernel.dispatch import (
    BATCH,
    dispatch_jobs,
    relay_events,
    relay_rows,
    return_lost,
)
from monohull.kernel.lane import FAILURES
from monohull.kernel.leadership import POLL_SECONDS, lead_for_ever
from monohull.kernel.observation import DependencyBack, DependencyLost, Observation, Observer
from monohull.kernel.outbox import CHANNEL
from monohull.kernel.redis_connection import explain_redis_error, server_infos
from monohull.kernel.schedules import Timetable
from monohull.kernel.tasks import beside
from monohull.kernel.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from monohull.kernel.database.engine import Database
    from monohull.kernel.dispatch import Dispatch, Duties
    from monohull.kernel.queues import Queues

LOCK: Final = int.from_bytes(b"monorela")
"""How long a notification that got lost can delay a job, and how precise delays and schedules are."""
BY_INDEX: Final = "set enable_seqscan = off"
"""What is dealt with stays in a table until it is vacuumed, so what is left is looked for in an index. By its
statistics the planner cannot tell: the table is empty at one moment, and full of dead rows at another."""
LOST_SCAN_SECONDS: Final = 15.0
HELD_SECONDS: Final = 0.005
"""How soon it looks again while jobs are due and Redis holds as many as the workers begin soon."""
MEMORY_SECONDS: Final = 0.5
"""How long it is taken for granted that Redis forgot nothing; asking costs as much as sending ten jobs."""
DISPATCH_SECONDS: Final = 0.5
"""How much later than due a job may be sent while the relay looks for rows by itself, and is not notified."""
ROUND_TIMEOUT_SECONDS: Final = 60.0
MARKER_KEY: Final = "mh:relay:marker"


class RelayLeads(Observation, frozen=True, kw_only=True):
    """This process is the one that relays."""

    event = "relay.leads"


class EventsRelayed(Observation, frozen=True, kw_only=True):
    """Events were numbered and handed to their subscribers."""

    event = "relay.events_relayed"
    level = "debug"

    events: int


class RelayStopped(Observation, frozen=True, kw_only=True):
    """This process no longer relays; another one will."""

    event = "relay.stopped"
    level = "warning"

    reason: str


class JobsSentAgain(Observation, frozen=True, kw_only=True):
    """Redis had lost jobs that were promised; they are on their way again."""

    event = "relay.jobs_sent_again"
    level = "warning"

    jobs: int


class Relay:
    """One candidate for leading.

    Args:
        database: Gives the connection that holds the lock.
        queues: Where jobs go.
        duties: Who subscribed to what; every job and schedule this process knows.
        observer: Told who leads, and of what is away.
        concurrency: How many jobs one worker runs at a time, per queue.
    """

    def __init__(
        self,
        database: Database,
        queues: Queues,
        duties: Duties,
        observer: Observer,
        *,
        concurrency: int,
    ) -> None:
        self._concurrency = concurrency
        self._held_seconds = POLL_SECONDS
        self._database = database
        self._queues = queues
        self._duties = duties
        self._observer = observer
        self._wake = asyncio.Event()
        self._redis_lost_at: float | None = None
        self._memory: tuple[str, str] | None = None
        self._memory_until = 0.0
        self._dispatch_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Lead, or wait to lead, for as long as the block runs."""
        async with beside(self.run(), name="relay"):
            yield

    async def run(self) -> None:
        """Lead whenever the lock is free, for ever."""
        await lead_for_ever(
            self._database,
            LOCK,
            self._lead,
            lambda reason: self._observer.observe(RelayStopped(reason=reason)),
        )

    async def _lead(self, connection: asyncpg.Connection) -> None:
        await connection.add_listener(CHANNEL, self._on_notification)
        connection.add_termination_listener(self._on_termination)
        self._memory = None
        await connection.execute(BY_INDEX)
        vigil = Vigil(connection)
        self._observer.observe(RelayLeads())
        timetable, scan_at = Timetable(self._duties.crons, self._duties.jobs, self._observer), 0.0
        await timetable.declare(connection, now())
        while True:
            is_woken = self._wake.is_set()
            self._wake.clear()
            scan = monotonic_seconds() >= scan_at
            async with asyncio.timeout(ROUND_TIMEOUT_SECONDS):
                await timetable.keep(connection, now())
                is_more = await self._round(connection, vigil, is_woken=is_woken, scan=scan)
            if monotonic_seconds() >= scan_at:
                scan_at = monotonic_seconds() + LOST_SCAN_SECONDS
            if not is_more:
                await self._rest(min(self._held_seconds, vigil.rest_seconds))

    async def _round(
        self, connection: asyncpg.Connection, vigil: Vigil, *, is_woken: bool, scan: bool
    ) -> bool:
        """Do everything once; return whether there may be more at once.

        Where only rows were written, and it looks by itself, no job can have come with them: whoever makes
        one notifies. Jobs that became due in the meantime wait for one of the next rounds.
        """
        rows = await relay_rows(connection, self._duties.events) if vigil.is_kept else 0
        events = rows or await relay_events(connection, self._duties.events)
        await vigil.note(found=events, at=monotonic_seconds())
        if events:
            self._observer.observe(EventsRelayed(events=events))
        if rows and not (is_woken or scan) and monotonic_seconds() < self._dispatch_at:
            return events >= BATCH
        try:
            if await self._redis_forgot() or scan:
                await self._send_again(connection)
            dispatch = await dispatch_jobs(
                connection, self._queues, self._duties.jobs, slots=self._concurrency
            )
        except FAILURES as error:
            self._memory_until = self._dispatch_at = 0.0
            self._note_redis(error)
            return events >= BATCH
        self._note_redis(None)
        self._note_held(dispatch)
        self._dispatch_at = 0.0 if dispatch.is_held else monotonic_seconds() + DISPATCH_SECONDS
        return events >= BATCH

    def _note_held(self, dispatch: Dispatch) -> None:
        """Look again soon for as long as workers take what is sent, and ever later while they do not."""
        if not dispatch.is_held:
            self._held_seconds = POLL_SECONDS
        elif dispatch.sent:
            self._held_seconds = HELD_SECONDS
        else:
            self._held_seconds = min(max(self._held_seconds, HELD_SECONDS) * 2, POLL_SECONDS)

    async def _redis_forgot(self) -> bool:
        """Whether Redis may have lost what it held: it restarted, or lacks our marker; asked now and then."""
        if self._memory is not None and monotonic_seconds() < self._memory_until:
            return False
        self._memory_until = monotonic_seconds() + MEMORY_SECONDS
        redis = self._queues.redis
        runs = " ".join(sorted(str(info["run_id"]) for info in await server_infos(redis, "server")))
        marker = cast("bytes | None", await redis.get(MARKER_KEY))
        memory = (runs, "" if marker is None else marker.decode())
        if memory == self._memory and marker is not None:
            return False
        if marker is None:
            fresh = str(uuid4())
            await redis.set(MARKER_KEY, fresh)
            memory = (memory[0], fresh)
        self._memory = memory
        return True

    async def _send_again(self, connection: asyncpg.Connection) -> None:
        try:
            returned = await return_lost(connection, self._queues)
        except BaseException:
            self._memory = None  # look again: this scan did not see everything
            raise
        if returned:
            self._observer.observe(JobsSentAgain(jobs=returned))

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _on_notification(self, *_: object) -> None:
        self._wake.set()

    def _on_termination(self, _: object) -> None:
        self._wake.set()

    def _note_redis(self, error: BaseException | None) -> None:
        if error is not None and self._redis_lost_at is None:
            self._redis_lost_at = monotonic_seconds()
            self._observer.observe(DependencyLost(name="redis", reason=explain_redis_error(error)))
        elif error is None and self._redis_lost_at is not None:
            seconds = monotonic_seconds() - self._redis_lost_at
            self._observer.observe(DependencyBack(name="redis", seconds=seconds))
            self._redis_lost_at = None
