"""One attempt at one job, in a worker.

    claim it in the ledger → run it under its time-out → record what became of it

The ledger decides whether there is a next attempt and when; SAQ is only told
how this one ended, so that its counters and page are true. A job that came
through `Queues.enqueue_now` has no row in the ledger: there SAQ's message
counts, and only its dead letter reaches the database.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import Problem
from monohull.kernel.ledger import DeadLetter, Ledger
from monohull.kernel.observation import Observation
from monohull.kernel.origin import current_actor
from monohull.kernel.queues import GiveUp
from monohull.kernel.trace import continue_trace, current_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from saq.job import Job as Message

    from monohull.kernel.queues import Job
    from monohull.kernel.runtime import Runtime

RECORD_TRIES: Final = 30
RECORD_WAIT_SECONDS: Final = 1.0
NEVER: Final = 0
UNCLAIMED_DELAY_SECONDS: Final = 2.0


class JobStarted(Observation, frozen=True, kw_only=True):
    """A worker began an attempt."""

    event = "job.started"
    level = "debug"

    job: str
    job_id: str
    attempt: int


class JobFinished(Observation, frozen=True, kw_only=True):
    """A job succeeded."""

    event = "job.finished"

    job: str
    job_id: str
    attempt: int
    duration_seconds: float


class JobFailed(Observation, frozen=True, kw_only=True):
    """An attempt failed; ``next_seconds`` says when the next one comes, None that it was the last."""

    event = "job.failed"
    level = "warning"

    job: str
    job_id: str
    attempt: int
    duration_seconds: float
    error: str
    stack: str | None
    next_seconds: float | None


class JobSkipped(Observation, frozen=True, kw_only=True):
    """A message came twice or too late, and the ledger knew."""

    event = "job.skipped"
    level = "debug"

    job: str
    job_id: str


class AttemptFailed(Exception):
    """Tells SAQ that this attempt failed; everything else has been recorded."""


class Attempt(Struct, frozen=True):
    """What is going to be tried.

    Attributes:
        job: The declaration.
        message: SAQ's, which names the arguments.
        job_id: Row of the ledger, or the id that a dead letter would get.
        number: From 1.
        is_promised: Whether the job has a row.
    """

    job: Job
    message: Message
    job_id: UUID
    number: int
    is_promised: bool


class Attempts:
    """Runs what SAQ hands to this worker.

    Attributes:
        running: Ids of the jobs it is at, until their outcome has been recorded.
    """

    def __init__(self, runtime: Runtime, jobs: Mapping[str, Job], *, worker: str) -> None:
        self._runtime = runtime
        self._jobs = jobs
        self._ledger = Ledger(runtime.database)
        self._worker = worker
        self.running: set[str] = set()

    async def run(self, message: Message, arguments: dict[str, Any]) -> Any:
        """Run one attempt and return what the job returned.

        Raises:
            AttemptFailed: The attempt failed and that has been recorded.
        """
        trace = continue_trace(message.meta.get("traceparent"), message.meta.get("request_id"))
        current_trace.set(trace)
        current_actor.set(message.meta.get("actor"))
        attempt = await self._claim(message)
        if attempt is None:
            job_id = str(message.meta.get("job_id"))
            self._runtime.observer.observe(JobSkipped(job=message.function, job_id=job_id))
            return None
        job_id = str(attempt.job_id)
        self.running.add(job_id)
        try:
            with self._runtime.lifecycle.working(), self._runtime.tracing.span(f"job {attempt.job.name}"):
                return await self._run(attempt, arguments)
        finally:
            self.running.discard(job_id)

    async def _claim(self, message: Message) -> Attempt | None:
        job = self._jobs[message.function]
        meta = message.meta
        if "job_id" not in meta:
            return Attempt(job, message, uuid4(), message.attempts, is_promised=False)
        job_id = UUID(meta["job_id"])
        try:
            number = await self._ledger.claim(
                job_id,
                attempts=meta["attempts"],
                returns=meta.get("returns", 0),
                worker=self._worker,
                message=message.key,
            )
        except Problem as problem:
            # the message stays, and comes again until the database is back
            message.retry_delay = UNCLAIMED_DELAY_SECONDS
            raise AttemptFailed(problem.message) from problem
        return None if number is None else Attempt(job, message, job_id, number, is_promised=True)

    async def _run(self, attempt: Attempt, arguments: dict[str, Any]) -> Any:
        if attempt.number > attempt.job.max_attempts:
            lost = "every attempt was lost with the worker that made it"
            raise await self._failed(attempt, GiveUp(lost), 0.0)
        observer = self._runtime.observer
        name, job_id, number = attempt.job.name, str(attempt.job_id), attempt.number
        observer.observe(JobStarted(job=name, job_id=job_id, attempt=number))
        started = monotonic_seconds()
        try:
            async with asyncio.timeout(attempt.job.timeout_seconds):
                result = await attempt.job(self._runtime, **arguments)
        except asyncio.CancelledError:
            await self._interrupted(attempt)
            raise
        except Exception as error:  # the boundary: a job may raise anything
            raise await self._failed(attempt, error, monotonic_seconds() - started) from error
        seconds = monotonic_seconds() - started
        if attempt.is_promised:
            await self._record(lambda: self._ledger.finish(attempt.job_id))
        observer.observe(JobFinished(job=name, job_id=job_id, attempt=number, duration_seconds=seconds))
        return result

    async def _failed(self, attempt: Attempt, error: BaseException, seconds: float) -> AttemptFailed:
        """Record a failure; return what SAQ is told."""
        job, message = attempt.job, attempt.message
        is_last = isinstance(error, GiveUp) or attempt.number >= job.max_attempts
        delay = None if is_last else job.backoff.delay_seconds(attempt.number)
        what = describe(error, job.timeout_seconds)
        self._runtime.observer.observe(
            JobFailed(
                job=job.name,
                job_id=str(attempt.job_id),
                attempt=attempt.number,
                duration_seconds=seconds,
                error=what,
                stack=None if isinstance(error, GiveUp) else stack_of(error),
                next_seconds=delay,
            )
        )
        if attempt.is_promised or is_last:
            message.retries = NEVER  # for SAQ this message ends here; the ledger sends the next one
        else:
            message.retry_delay = delay or 0.0
        await self._record(lambda: self._write_failure(attempt, what, delay))
        return AttemptFailed(what)

    async def _write_failure(self, attempt: Attempt, error: str, delay: float | None) -> None:
        if not attempt.is_promised:
            if delay is None:
                letter = DeadLetter(
                    id=attempt.job_id,
                    name=attempt.job.name,
                    queue=attempt.job.queue,
                    arguments=attempt.message.kwargs or {},
                    attempts=attempt.number,
                    error=error,
                )
                await self._ledger.bury_unpromised(letter)
        elif delay is None:
            await self._ledger.bury(attempt.job_id, attempt=attempt.number, error=error)
        else:
            await self._ledger.retry(attempt.job_id, attempt=attempt.number, delay_seconds=delay, error=error)

    async def _interrupted(self, attempt: Attempt) -> None:
        """Give the attempt back: this worker stops, the message returns to the queue and another goes on."""
        if attempt.is_promised:
            await self._record(lambda: self._ledger.release(attempt.job_id, attempt=attempt.number))

    async def _record(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write to the ledger, a few times if need be; what stays unwritten is found and run again."""
        for remaining in reversed(range(RECORD_TRIES)):
            try:
                await write()
            except Problem:
                if remaining:
                    await asyncio.sleep(RECORD_WAIT_SECONDS)
            else:
                return


def describe(error: BaseException, timeout_seconds: float) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, TimeoutError) and not str(error):
        return f"TimeoutError: no result within {timeout_seconds:g} s"
    return f"{type(error).__name__}: {error}"


def stack_of(error: BaseException) -> str:
    """Return the traceback of ``error`` and its causes."""
    return "".join(traceback.format_exception(error))
