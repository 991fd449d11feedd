"""Jobs: work that outlives the request that asked for it.

    @job("webhooks.deliver", max_attempts=8, timeout_seconds=30)
    async def deliver(runtime: Runtime, *, delivery_id: str) -> None: ...

A job's arguments are ids or other plain JSON: the row they name is read when
the job runs, not when it was asked for. It runs at least once and must be
idempotent: a worker may die after the work and before it could say so.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from saq.job import Job as Message
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import INTERVAL

from monohull.kernel.clock import now
from monohull.kernel.ids import uuid7
from monohull.kernel.lane import FAILURES, Lane, list_workers
from monohull.kernel.observation import SILENT, Observer
from monohull.kernel.outbox import cause
from monohull.kernel.redis_connection import close_redis, open_redis, redis_or_unavailable

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

DEFAULT_QUEUE: Final = "default"
BACKSTOP_SECONDS: Final = 30
MESSAGE_TTL_SECONDS: Final = 60
"""How long a finished message stays for SAQ's own page."""
DEFAULT_PRIORITY: Final = 4
MAX_PRIORITY: Final = 9
"""Of 0 to 9 the larger goes first, as in JMS and AMQP."""
UNKNOWN_JOB_DELAY_SECONDS: Final = 5.0
"""How long a job waits that no worker of this version knows, while a newer one is being rolled out."""

_ENQUEUE: Final = text(
    """
    with enqueued as (
        insert into monohull.jobs
            (id, name, queue, priority, arguments, key, actor, request_id, traceparent, due_at)
        values (:id, :name, :queue, :priority, cast(:arguments as json), :key, :actor, :request_id,
                :traceparent, now() + :delay)
        on conflict (name, key) where key is not null and done_at is null do nothing
        returning 1
    )
    select pg_notify('monohull_outbox', '') from enqueued
    """
).bindparams(bindparam("delay", type_=INTERVAL))

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")

Run: TypeAlias = Callable[..., Awaitable[Any]]
"""``async (runtime, **arguments)``. The runtime is untyped here because it stands above this file."""


class Backoff(msgspec.Struct, frozen=True):
    """How long to wait before the next attempt.

    Attributes:
        base_seconds: Wait after the first attempt.
        factor: By what each further wait is longer.
        max_seconds: Longest wait.
        jitter: Share of the wait that is random, so that what failed together is not repeated together.
    """

    base_seconds: float = 1.0
    factor: float = 2.0
    max_seconds: float = 3600.0
    jitter: float = 0.5

    def delay_seconds(self, attempt: int, *, chance: float | None = None) -> float:
        """Return the wait after ``attempt``, which counts from 1; ``chance`` in 0..1 stands for the dice.

        >>> [Backoff(jitter=0.5).delay_seconds(attempt, chance=1.0) for attempt in (1, 2, 3, 20)]
        [1.0, 2.0, 4.0, 3600.0]
        """
        longest = min(self.max_seconds, self.base_seconds * self.factor ** min(attempt - 1, 64))
        dice = random.random() if chance is None else chance  # noqa: S311 spreads load, guards nothing
        return longest * (1 - self.jitter * (1 - dice))


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of work, made by `job`. Calling it runs the function right here.

    Attributes:
        name: ``module.verb``; stored with what was asked for, so never changed.
        function: ``async (runtime, **arguments)``.
        max_attempts: How often it is tried in all before it becomes a dead letter.
        timeout_seconds: How long one attempt may take.
        queue: Which workers run it.
        backoff: How long to wait between attempts.
        priority: 0 to 9; the larger, the earlier among the jobs of a queue that are due.
        arguments: The Struct that describes the arguments; they are checked against it before they are used.
        is_public: Whether it may be asked for over HTTP and from SQL.
    """

    name: str
    function: Run
    max_attempts: int = 5
    timeout_seconds: float = 60.0
    queue: str = DEFAULT_QUEUE
    backoff: Backoff = Backoff()
    priority: int = DEFAULT_PRIORITY
    arguments: type[msgspec.Struct] | None = None
    is_public: bool = False

    async def __call__(self, runtime: Any, /, **arguments: Any) -> Any:
        return await self.function(runtime, **arguments)

    def checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return ``arguments`` as `arguments` describes them, with its defaults.

        Raises:
            msgspec.ValidationError: They are none.
        """
        if self.arguments is None:
            return arguments
        found = msgspec.convert(arguments, self.arguments)
        return {name: getattr(found, name) for name in found.__struct_fields__}


class Cron(msgspec.Struct, frozen=True, kw_only=True):
    """When the worker asks for a job by itself.

    Attributes:
        job: What runs.
        schedule: Five fields as cron has them (`cron`): ``"*/5 * * * *"``.
        timezone: Where its hours are, such as ``Europe/Berlin``.
        missed: What is done about ticks while no worker was there: ``skip`` nothing, ``once`` one run for all
            of them, ``all`` a run each, of the latest `catch_up_limit`.
        overlap: What is done at a tick while the last run goes on: ``skip``, ``queue`` or ``allow``.
        late_after_seconds: When a run that has not begun is told of as late.
        arguments: What the job gets.
        name: Unique; the job's name unless one job has several schedules.
    """

    job: Job
    schedule: str
    arguments: dict[str, Any] = {}
    name: str = ""
    timezone: str = "UTC"
    missed: Literal["skip", "once", "all"] = "once"
    catch_up_limit: int = 100
    overlap: Literal["skip", "queue", "allow"] = "skip"
    late_after_seconds: int = 300

    @property
    def title(self) -> str:
        return self.name or self.job.name


class GiveUp(Exception):
    """Raised by a job that knows no further attempt can succeed: it becomes a dead letter at once."""


class JobError(Exception):
    """The jobs or schedules of the loaded modules do not fit together."""


def job(  # noqa: PLR0913 a declaration, each by its name
    name: str,
    *,
    max_attempts: int = 5,
    timeout_seconds: float = 60.0,
    queue: str = DEFAULT_QUEUE,
    backoff: Backoff | None = None,
    priority: int = DEFAULT_PRIORITY,
    arguments: type[msgspec.Struct] | None = None,
    is_public: bool = False,
) -> Callable[[Run], Job]:
    """Make the decorated coroutine function a `Job`.

    Raises:
        JobError: The name is not ``module.verb``, a number makes no sense, or a job that anybody with the
            permission may ask for says nothing of its arguments.
    """
    if not _NAME.fullmatch(name):
        raise JobError(f"{name!r} is no name for a job; write module.verb")
    if max_attempts < 1 or timeout_seconds <= 0:
        raise JobError(f"job {name!r} needs at least one attempt and more than zero seconds")
    if not 0 <= priority <= MAX_PRIORITY:
        raise JobError(f"job {name!r} has the priority {priority}; there are 0 to {MAX_PRIORITY}")
    if is_public and arguments is None:
        raise JobError(f"job {name!r} is public and needs arguments=, a Struct that describes them")

    def declare(function: Run) -> Job:
        return Job(
            name=name,
            function=function,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            queue=queue,
            backoff=backoff or Backoff(),
            priority=priority,
            arguments=arguments,
            is_public=is_public,
        )

    return declare


async def enqueue(
    session: AsyncSession, job: Job, *, key: str | None = None, delay_seconds: float = 0, **arguments: Any
) -> UUID | None:
    """Promise that ``job`` runs with ``arguments`` once the caller's transaction is committed.

    Args:
        session: The unit of work that asks for it.
        job: What is to run.
        key: While a job of this name and key is not done, asking again changes nothing.
        delay_seconds: Not before this many seconds have passed.
        **arguments: Ids or other plain JSON.

    Returns:
        The id of the job, or None when one with this key is waiting or running already.
    """
    job_id = uuid7()
    parameters = {
        "id": job_id,
        "name": job.name,
        "queue": job.queue,
        "priority": job.priority,
        "arguments": msgspec.json.encode(arguments).decode(),
        "key": key,
        "delay": timedelta(seconds=delay_seconds),
        **cause(),
    }
    result = await session.execute(_ENQUEUE, parameters)
    return None if result.first() is None else job_id


class Queues:
    """The queues in Redis, for whoever puts jobs in and for the workers that take them out.

    Args:
        url: Redis, in one of the forms of `redis_connection`.
        jobs: Every job this process knows; their queues are the ones counted by `depth`.
        name: What ``CLIENT LIST`` shows.
        prefix: Keeps several installations on one Redis apart.
        observer: Told of outages.
    """

    def __init__(
        self,
        url: str,
        *,
        jobs: Iterable[Job] = (),
        name: str = "monohull-queues",
        prefix: str = "monohull",
        observer: Observer = SILENT,
    ) -> None:
        self.redis = open_redis(url, name=name)
        self._prefix = prefix
        self._observer = observer
        self._lanes: dict[str, Lane] = {}
        self.names = tuple(sorted({DEFAULT_QUEUE, *(job.queue for job in jobs)}))

    def lane(self, queue: str) -> Lane:
        """Return SAQ's queue behind the name ``queue``."""
        if (lane := self._lanes.get(queue)) is None:
            lane = Lane(self.redis, queue, prefix=self._prefix, observer=self._observer)
            self._lanes[queue] = lane
        return lane

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Close the connections when the block ends; they open by themselves."""
        try:
            yield
        finally:
            await close_redis(self.redis)

    async def enqueue_now(self, job: Job, /, *, delay_seconds: float = 0, **arguments: Any) -> str:
        """Put ``job`` straight into Redis and return the key of SAQ's message.

        For work that may be lost: nothing but Redis knows of it, so it is gone
        with a Redis that loses its memory, and it runs whether or not the
        caller's transaction commits. For everything else there is `enqueue`.

        Raises:
            RedisUnavailable: 503; whether it was queued is not known.
        """
        message = new_message(job, arguments, key=str(uuid7()), meta=cause())
        message.retries = job.max_attempts
        if delay_seconds > 0:
            message.scheduled = ceil(now().timestamp() + delay_seconds)
        with redis_or_unavailable():
            await self.lane(job.queue).enqueue(message)
        return message.key

    async def depth(self) -> float | None:
        """Return how many jobs wait in all queues, or None when Redis is away."""
        try:
            return float(sum([await self.lane(name).count("queued") for name in self.names]))
        except FAILURES:
            return None

    async def workers(self) -> list[dict[str, Any]]:
        """Return what each living worker says of itself: ``id``, ``host``, ``pid``, and so on.

        Raises:
            RedisUnavailable: 503.
        """
        with redis_or_unavailable():
            return await list_workers(self.redis)


def new_message(job: Job, arguments: dict[str, Any], *, key: str, meta: dict[str, Any]) -> Message:
    """Return the message for SAQ. Its own time-out is a backstop; `attempts` keeps the job's."""
    return Message(
        function=job.name,
        kwargs=arguments,
        key=key,
        timeout=ceil(job.timeout_seconds) + BACKSTOP_SECONDS,
        ttl=MESSAGE_TTL_SECONDS,
        retry_delay=UNKNOWN_JOB_DELAY_SECONDS,
        meta={name: value for name, value in meta.items() if value is not None},
    )
