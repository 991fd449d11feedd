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
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import msgspec

DEFAULT_QUEUE: Final = "default"

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
    """

    name: str
    function: Run
    max_attempts: int = 5
    timeout_seconds: float = 60.0
    queue: str = DEFAULT_QUEUE
    backoff: Backoff = Backoff()

    async def __call__(self, runtime: Any, /, **arguments: Any) -> Any:
        return await self.function(runtime, **arguments)


class Cron(msgspec.Struct, frozen=True, kw_only=True):
    """When the worker asks for a job by itself.

    Attributes:
        job: What runs.
        schedule: Five fields as cron has them, in UTC: ``"*/5 * * * *"``.
        arguments: What the job gets.
        name: Unique; the job's name unless one job has several schedules.
    """

    job: Job
    schedule: str
    arguments: dict[str, Any] = {}
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.job.name


class GiveUp(Exception):
    """Raised by a job that knows no further attempt can succeed: it becomes a dead letter at once."""


class JobError(Exception):
    """The jobs or schedules of the loaded modules do not fit together."""


def job(
    name: str,
    *,
    max_attempts: int = 5,
    timeout_seconds: float = 60.0,
    queue: str = DEFAULT_QUEUE,
    backoff: Backoff | None = None,
) -> Callable[[Run], Job]:
    """Make the decorated coroutine function a `Job`.

    Raises:
        JobError: The name is not ``module.verb``, or a number makes no sense.
    """
    if not _NAME.fullmatch(name):
        raise JobError(f"{name!r} is no name for a job; write module.verb")
    if max_attempts < 1 or timeout_seconds <= 0:
        raise JobError(f"job {name!r} needs at least one attempt and more than zero seconds")

    def declare(function: Run) -> Job:
        return Job(
            name=name,
            function=function,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            queue=queue,
            backoff=backoff or Backoff(),
        )

    return declare
