"""`Lane`: one queue in Redis, SAQ's with the weak places mended.

SAQ's own queue forgets a worker's loss until the job's time-out has passed,
takes a job that was fetched a moment ago for a lost one, keeps one blocked
connection per slot, and spins when Redis is away. Here

- each worker keeps a key that says it lives (`Heartbeat`), and a job goes back
  to the queue within seconds of the worker's death, by one atomic script;
- whatever looks lost is looked at twice before it is touched;
- one connection fetches for all slots, as many messages at once as slots are free, and notices a stop within
  a second;
- the relay puts all that it sends in by one call, and nobody is told of each step of a message by publishing;
- an outage of Redis is waited out;
- no command is used that redis-py has deprecated;
- all keys of a queue are in one slot of a cluster.

A job that Redis forgets is not lost either: `dispatch` sends it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from redis.exceptions import RedisError
from saq.job import Job as Message
from saq.job import Status
from saq.queue.redis import RedisQueue
from saq.utils import now as now_milliseconds

from monohull import __version__
from monohull.kernel.clock import monotonic_seconds, now
from monohull.kernel.lane_scripts import ADD, ADD_ONE, AGAIN, END, RETURN, TAKE
from monohull.kernel.observation import DependencyBack, DependencyLost, Observation, Observer
from monohull.kernel.redis_connection import (
    UNREACHABLE,
    close_redis,
    explain_redis_error,
    get_each,
    is_cluster,
)
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Sequence

    from redis.asyncio import Redis
    from saq.types import WorkerInfo

T = TypeVar("T")

WORKER_KEY: Final = "mh:worker:"
CANCEL_KEY: Final = "mh:cancel:"
CANCEL_TTL_SECONDS: Final = 60
BEAT_SECONDS: Final = 1.0
BEAT_TTL_SECONDS: Final = 5
SUSPICION_SECONDS: Final = 2.0
"""How long something must look lost. Longer than a beat: after an outage of Redis all workers look dead."""
OVERTIME_SECONDS: Final = 60.0
"""How long past its time-out an attempt of a living worker may go on before it counts as forgotten."""
INFO_TTL_SECONDS: Final = 30
FETCH_SECONDS: Final = 1
PATIENCE_SECONDS: Final = 30.0
FAILURES: Final = (*UNREACHABLE, RedisError)


class JobReturned(Observation, frozen=True, kw_only=True):
    """A job whose worker is gone went back into its queue."""

    event = "job.returned"
    level = "warning"

    job: str
    queue: str
    worker: str | None


class Lane(RedisQueue):
    """One queue in Redis.

    Args:
        redis: Shared by the lanes of a process; answers are bytes.
        name: What jobs call the queue.
        prefix: Keeps several installations on one Redis apart.
        observer: Told of outages and of jobs that went back.
    """

    def __init__(self, redis: Redis, name: str, *, prefix: str, observer: Observer) -> None:
        full = f"{prefix}.{name}"
        # In a cluster all keys of a queue have to be in one slot, which is chosen by what stands in braces.
        super().__init__(redis, name=f"{{{full}}}" if is_cluster(redis) else full)
        self.title = name
        self._observer = observer
        self._stop: asyncio.Event | None = None
        self._fetching = asyncio.Lock()
        self._lost_at: float | None = None
        self._suspects: dict[bytes, tuple[bytes, float]] = {}
        self._return_script = redis.register_script(RETURN)
        self._add_script = redis.register_script(ADD)
        self._add_one_script = redis.register_script(ADD_ONE)
        self._again_script = redis.register_script(AGAIN)
        self._take_script = redis.register_script(TAKE)
        self._end_script = redis.register_script(END)
        self._waiting = 0
        self._taken: deque[Message | None] = deque()

    def stop_with(self, stop: asyncio.Event) -> None:
        """Fetch no more once ``stop`` is set."""
        self._stop = stop

    @property
    def is_stopping(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    async def disconnect(self) -> None:
        await close_redis(self.redis)

    async def dequeue(self, timeout: float = 0.0, poll_interval: float = 0.0) -> Message | None:  # noqa: ARG002, ASYNC109 SAQ's signature
        """Return the next job, or None after a second, so that the caller can look whether to stop.

        Whoever fetches does so for all that wait. What is taken and not begun goes back as that of the dead.
        """
        self._waiting += 1
        try:
            async with self._fetching:
                if not self._taken and not self.is_stopping:
                    await self._fetch()
                return self._taken.popleft() if self._taken else None
        finally:
            self._waiting -= 1

    async def _fetch(self) -> None:
        try:
            job_id = await self.redis.blmove(self._queued, self._active, FETCH_SECONDS, "LEFT", "RIGHT")
            if job_id is not None:
                keys = [self._queued, self._active, job_id]
                found = await self._take_script(keys=keys, args=[self._waiting - 1])
                self._taken.extend(map(self.deserialize, found))
        except FAILURES as error:
            self._note_lost(error)
            await self._pause(FETCH_SECONDS)
        else:
            self._note_back()

    async def enqueue_all(self, messages: Sequence[Message]) -> None:
        """Put messages behind those that wait, in their order and all or none; what is there already stays.

        Raises:
            RedisError: Redis is away.
        """
        for message in messages:
            message.queue = self
            message.queued = now_milliseconds()
            message.status = Status.QUEUED
        await self._add_script(
            keys=[self._incomplete, self._queued, *(message.id for message in messages)],
            args=[self.serialize(message) for message in messages],
        )

    async def _enqueue(self, job: Message) -> Message | None:
        """Do what SAQ does, without its mark of aborted jobs: nobody sets it, and it is in another slot."""
        keys = [self._incomplete, self._queued, job.id]
        is_new = await self._add_one_script(keys=keys, args=[self.serialize(job), job.scheduled])
        return job if is_new else None

    def ask_load(self, pipe: Any) -> None:
        """Ask in ``pipe`` how many jobs wait in Redis, and how many workers serve the queue."""
        pipe.llen(self._queued)
        pipe.zcount(self._stats, now_milliseconds(), "+inf")

    async def sweep(self, lock: int = 60, abort: float = 5.0) -> list[str]:  # noqa: ARG002 SAQ's signature
        """Put jobs of dead workers back into the queue; return their ids."""
        try:
            return await self._sweep_once()
        except FAILURES:
            self._suspects.clear()
            return []

    async def schedule(self, _lock: int = 1) -> list[str]:
        try:
            return await super().schedule(_lock)
        except FAILURES:
            return []

    async def jobs(self, job_keys: Iterable[str]) -> list[Message | None]:
        try:
            return await super().jobs(job_keys)
        except FAILURES:
            return []

    async def write_worker_info(self, worker_id: str, info: WorkerInfo, ttl: int) -> None:
        key = self.namespace(f"worker_info:{worker_id}")
        keep = max(ttl, INFO_TTL_SECONDS)
        current = now_milliseconds()
        pipe: Any
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.set(key, json.dumps(info), ex=keep)
            pipe.zremrangebyscore(self._stats, 0, current)
            pipe.zadd(self._stats, {key: current + keep * 1000})
            pipe.expire(self._stats, keep)
            with suppress(*FAILURES):
                await pipe.execute()

    async def notify(self, job: Message) -> None:
        """Tell nobody: nobody listens, and it would be two round trips a job."""

    async def _update(self, job: Message, status: Status | None = None, **kwargs: Any) -> None:
        await self._insist(lambda: super(Lane, self)._update(job, status, **kwargs))

    async def _retry(self, job: Message, error: str | None) -> None:
        del error  # it is in the job already
        await self._insist(lambda: self._store_again(job))

    async def _finish(
        self, job: Message, status: Status, *, result: Any = None, error: str | None = None
    ) -> None:
        del status, result, error  # they are in the job already
        await self._insist(lambda: self._store_finished(job))
        await self.notify(job)

    async def _store_again(self, job: Message) -> None:
        """Put a message behind the others, or keep it until it is due."""
        delay = job.next_retry_delay()
        due = str(now().timestamp() + delay) if delay else str(job.scheduled)
        keys = [self._active, self._queued, self._incomplete, job.id]
        await self._again_script(keys=keys, args=[self.serialize(job), due, "" if delay else "1"])

    async def _store_finished(self, job: Message) -> None:
        """Take a message off the lists; it stays for its ``ttl``, 0 for ever, and not at all below that."""
        kept = self.serialize(job) if job.ttl >= 0 else ""
        await self._end_script(keys=[self._active, self._incomplete, job.id], args=[kept, job.ttl])

    async def _insist(self, write: Callable[[], Awaitable[T]]) -> T | None:
        """Repeat ``write`` through an outage; after `PATIENCE_SECONDS` leave it to the ledger."""
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        while True:
            try:
                return await write()
            except FAILURES as error:
                self._note_lost(error)
                if self.is_stopping or monotonic_seconds() > deadline:
                    return None
                await self._pause(FETCH_SECONDS)

    async def _pause(self, seconds: float) -> None:
        if self._stop is None:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _note_lost(self, error: BaseException) -> None:
        if self._lost_at is None:
            self._lost_at = monotonic_seconds()
            self._observer.observe(DependencyLost(name="redis", reason=explain_redis_error(error)))

    def _note_back(self) -> None:
        if self._lost_at is not None:
            self._observer.observe(DependencyBack(name="redis", seconds=monotonic_seconds() - self._lost_at))
            self._lost_at = None

    async def _sweep_once(self) -> list[str]:
        ids = cast("list[bytes]", await self.redis.lrange(self._active, 0, -1))
        stored = cast("list[bytes | None]", await self.redis.mget(ids) if ids else [])
        messages = {
            job_id: (raw, message)
            for job_id, raw in zip(ids, stored, strict=True)
            if raw is not None and (message := self.deserialize(raw)) is not None
        }
        for job_id in set(ids) - set(messages):
            await self.redis.lrem(self._active, 0, job_id.decode())
            await self.redis.zrem(self._incomplete, job_id)
        alive = await living_workers(self.redis, {m.worker_id for _, m in messages.values() if m.worker_id})
        suspects = {job_id: raw for job_id, (raw, m) in messages.items() if looks_lost(m, alive)}
        returned = [
            job_id for job_id in self._seen_twice(suspects) if await self._put_back(job_id, *messages[job_id])
        ]
        return [job_id.decode() for job_id in returned]

    def _seen_twice(self, suspects: dict[bytes, bytes]) -> list[bytes]:
        """Remember ``suspects`` and return those that have not changed for `SUSPICION_SECONDS`."""
        seen = monotonic_seconds()
        known = self._suspects
        self._suspects = {
            job_id: known[job_id] if job_id in known and known[job_id][0] == raw else (raw, seen)
            for job_id, raw in suspects.items()
        }
        return [job_id for job_id, (_, since) in self._suspects.items() if seen - since >= SUSPICION_SECONDS]

    async def _put_back(self, job_id: bytes, raw: bytes, message: Message) -> bool:
        worker = message.worker_id
        message.status = Status.QUEUED
        message.started = 0
        message.worker_id = None
        message.touched = now_milliseconds()
        message.meta["returns"] = message.meta.get("returns", 0) + 1
        moved = await self._return_script(
            keys=[job_id, self._active, self._queued, self._incomplete], args=[raw, self.serialize(message)]
        )
        self._suspects.pop(job_id, None)
        if moved:
            self._observer.observe(JobReturned(job=message.function, queue=self.title, worker=worker))
        return bool(moved)


def looks_lost(message: Message, alive: Container[str]) -> bool:
    """Whether a job in the active list seems to have nobody who works on it.

    It has been fetched and not marked; or the worker that marked it is dead; or
    that worker lives and is far beyond the time-out, so that it must have
    forgotten: an outage swallowed its report.
    """
    if message.status not in (Status.ACTIVE, Status.ABORTING):
        return True
    overtime = message.timeout + OVERTIME_SECONDS
    return message.worker_id not in alive or now_milliseconds() - message.started > overtime * 1000


async def living_workers(redis: Redis, workers: set[str]) -> dict[str, frozenset[str]]:
    """Return those of ``workers`` whose heartbeat is fresh, each with the ids of the jobs it is at."""
    names = sorted(workers)
    beats = await get_each(redis, [f"{WORKER_KEY}{name}" for name in names])
    return {
        name: frozenset(json.loads(beat)["running"])
        for name, beat in zip(names, beats, strict=True)
        if beat is not None
    }


class Heartbeat:
    """The key by which the others see that this worker lives, for as long as it has jobs.

    It beats until the last job is done, also while the worker drains.

    Args:
        redis: Where the key is.
        worker_id: Unique; jobs that this worker is at are marked with it.
        running: The ids of promised jobs that it is at right now; shared, and read at each beat.
        queues: What it serves.
        concurrency: How many jobs at a time, per queue.
        cancel: Told a job and the last number of an attempt at it that is to stop.
    """

    def __init__(  # noqa: PLR0913 all is said to others
        self,
        redis: Redis,
        worker_id: str,
        running: Iterable[str],
        *,
        queues: tuple[str, ...],
        concurrency: int,
        cancel: Callable[[str, int], None],
    ) -> None:
        self._redis = redis
        self._cancel = cancel
        self._key = f"{WORKER_KEY}{worker_id}"
        self._running = running
        self._about = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": now().isoformat(),
            "version": __version__,
            "queues": queues,
            "concurrency": concurrency,
        }

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Beat once a second while the block runs; then remove the key."""
        await self._beat()
        try:
            async with beside(self._beat_for_ever(), name="worker heartbeat"):
                yield
        finally:
            with suppress(*FAILURES):
                await self._redis.delete(self._key)

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._beat()

    async def _beat(self) -> None:
        running = sorted(self._running)
        value = json.dumps({**self._about, "running": running})
        with suppress(*FAILURES):
            if not running:
                await self._redis.set(self._key, value, ex=BEAT_TTL_SECONDS)
                return
            async with self._redis.pipeline(transaction=False) as pipe:
                _ = pipe.set(self._key, value, ex=BEAT_TTL_SECONDS)
                for job_id in running:
                    _ = pipe.get(f"{CANCEL_KEY}{job_id}")
                _, *numbers = await pipe.execute()
            for job_id, number in zip(running, numbers, strict=True):
                if number is not None:
                    self._cancel(job_id, int(number))


async def ask_to_stop(redis: Redis, jobs: Iterable[tuple[str, int]]) -> None:
    """Tell whichever worker is at one of ``jobs`` to stop, given the attempt that runs.

    It hears so with its next beat; without Redis the ledger tells it a few seconds later.
    """
    with suppress(*FAILURES):
        async with redis.pipeline(transaction=False) as pipe:
            for job_id, number in jobs:
                _ = pipe.set(f"{CANCEL_KEY}{job_id}", number, ex=CANCEL_TTL_SECONDS)
            await pipe.execute()


async def forget_to_stop(redis: Redis, job_ids: Iterable[str]) -> None:
    """Take back that somebody told workers to stop: what is asked for again may have the number of then."""
    keys = [f"{CANCEL_KEY}{job_id}" for job_id in job_ids]
    if keys:
        with suppress(*FAILURES):
            await redis.delete(*keys)


async def list_workers(redis: Redis) -> list[dict[str, Any]]:
    """Return what every living worker says about itself, with its ``id``."""
    keys = [key.decode() async for key in redis.scan_iter(match=f"{WORKER_KEY}*")]
    values = await get_each(redis, keys)
    return [
        {"id": key.removeprefix(WORKER_KEY), **json.loads(value)}
        for key, value in zip(keys, values, strict=True)
        if value is not None
    ]
