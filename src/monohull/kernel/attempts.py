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
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import Problem
from monohull.kernel.ledger import Beat, Claim, DeadLetter, Ledger
from monohull.kernel.observation import Observation
from monohull.kernel.origin import current_actor
from monohull.kernel.progress import Progress, Said, current_progress
from monohull.kernel.queues import GiveUp
from monohull.kernel.span import Kind
from monohull.kernel.trace import continue_trace, current_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from saq.job import Job as Message

    from monohull.kernel.queues import Job
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.span import Value

RECORD_TRIES: Final = 30
RECORD_WAIT_SECONDS: Final = 1.0
NEVER: Final = 0
UNCLAIMED_DELAY_SECONDS: Final = 2.0
INSIST_SECONDS: Final = 5.0
"""How long an attempt that was stopped may take to clean up before it is stopped once more."""
LEDGER_BEAT_SECONDS: Final = 5.0
"""How often the ledger hears that attempts go on; it hears nothing while there are none."""


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


class JobCancelled(Observation, frozen=True, kw_only=True):
    """An attempt was stopped because somebody cancelled the job."""

    event = "job.cancelled"

    job: str
    job_id: str
    attempt: int
    duration_seconds: float


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
        claim: What the ledger gave for it; None of a job that has no row.
    """

    job: Job
    message: Message
    job_id: UUID
    number: int
    claim: Claim | None = None

    @property
    def counted(self) -> int:
        """The number by which the limit of attempts is measured."""
        return self.number - (0 if self.claim is None else self.claim.attempts_before)

    @property
    def max_attempts(self) -> int:
        own = None if self.claim is None else self.claim.max_attempts
        return self.job.max_attempts if own is None else own


class Running:
    """An attempt that is being made, which somebody who cancels the job can stop."""

    def __init__(self, attempt: Attempt, ledger: Ledger) -> None:
        self.attempt = attempt
        self.progress = Progress(self._write_progress)
        self._ledger = ledger
        self._task = asyncio.current_task()
        self._is_over = False
        self._cancellations = 0
        self._cancelled_at = float("-inf")

    @property
    def is_cancelled(self) -> bool:
        return self._cancellations > 0

    def cancel(self) -> None:
        """Stop it. Asked again it insists, but leaves time to clean up: a cancellation can be swallowed."""
        is_time = monotonic_seconds() - self._cancelled_at >= INSIST_SECONDS
        if not self._is_over and is_time and self._task is not None:
            self._cancelled_at = monotonic_seconds()
            self._cancellations += 1
            self._task.cancel()

    def end(self) -> None:
        """The job has returned or raised: what is left to do is not for it to be stopped in."""
        self._is_over = True

    def take_back(self) -> bool:
        """Whether the cancellations that arrived were these alone, and not the worker's stop too."""
        if self._task is None or not self.is_cancelled:
            return False
        for _ in range(self._cancellations):
            self._task.uncancel()
        return self._task.cancelling() == 0

    async def _write_progress(self, said: Said) -> None:
        if (claim := self.attempt.claim) is not None:
            with suppress(Problem, SQLAlchemyError):
                await self._ledger.beat([Beat(claim, said)])


class Attempts:
    """Runs what SAQ hands to this worker.

    Attributes:
        running: The attempts it is at, by the id of the job, until their outcome has been recorded.
    """

    def __init__(self, runtime: Runtime, jobs: Mapping[str, Job], *, worker: str) -> None:
        self._runtime = runtime
        self._jobs = jobs
        self._ledger = Ledger(runtime.database)
        self._worker = worker
        self.running: dict[str, Running] = {}

    async def run(self, message: Message, arguments: dict[str, Any]) -> Any:
        """Run one attempt and return what the job returned.

        Raises:
            AttemptFailed: The attempt failed and that has been recorded.
        """
        tracing, began = self._runtime.tracing, monotonic_seconds()
        trace = tracing.decide(
            continue_trace(message.meta.get("traceparent"), message.meta.get("request_id"))
        )
        current_trace.set(trace)
        current_actor.set(message.meta.get("actor"))
        attempt = await self._claim(message)
        if attempt is None:
            job_id = str(message.meta.get("job_id"))
            self._runtime.observer.observe(JobSkipped(job=message.function, job_id=job_id))
            return None
        job_id = str(attempt.job_id)
        running = self.running[job_id] = Running(attempt, self._ledger)
        current_progress.set(running.progress)
        error: str | None = None
        try:
            with self._runtime.lifecycle.working():
                return await self._run(running, arguments)
        except BaseException as raised:
            error = type(raised.__cause__ or raised).__name__
            raise
        finally:
            if tracing.records(trace):
                tracing.end_whole(
                    trace,
                    f"job {attempt.job.name}",
                    Kind.CONSUMER,
                    seconds=monotonic_seconds() - began,
                    attributes=_about(attempt),
                    error=error,
                )
            if self.running.get(job_id) is running:
                del self.running[job_id]

    def cancel(self, job_id: str, number: int) -> None:
        """Stop the attempt at this job, when it is at no later one than ``number``."""
        running = self.running.get(job_id)
        if running is not None and running.attempt.number <= number:
            running.cancel()

    async def beat_for_ever(self) -> None:
        """Tell the ledger which attempts go on, and stop those that were cancelled."""
        while True:
            await asyncio.sleep(LEDGER_BEAT_SECONDS)
            beats = [
                Beat(claim, running.progress.take())
                for running in self.running.values()
                if (claim := running.attempt.claim) is not None
            ]
            if not beats:
                continue
            with suppress(Problem, SQLAlchemyError):  # the next beat comes soon
                for job_id, number in await self._ledger.beat(beats):
                    self.cancel(str(job_id), number)

    async def _claim(self, message: Message) -> Attempt | None:
        job = self._jobs[message.function]
        meta = message.meta
        if "job_id" not in meta:
            return Attempt(job, message, uuid4(), message.attempts)
        job_id = UUID(meta["job_id"])
        try:
            claim = await self._ledger.claim(
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
        return None if claim is None else Attempt(job, message, job_id, claim.number, claim)

    async def _run(self, running: Running, arguments: dict[str, Any]) -> Any:
        attempt = running.attempt
        if attempt.counted > attempt.max_attempts:
            lost = "every attempt was lost with the worker that made it"
            raise await self._failed(attempt, GiveUp(lost), 0.0)
        observer = self._runtime.observer
        name, job_id, number = attempt.job.name, str(attempt.job_id), attempt.number
        observer.observe(JobStarted(job=name, job_id=job_id, attempt=number))
        started = monotonic_seconds()
        try:
            result = await self._make(running, arguments)
        except asyncio.CancelledError:
            if running.take_back():
                return await self._cancelled(attempt, None, monotonic_seconds() - started)
            await self._interrupted(attempt)
            raise
        except Exception as error:  # the boundary: a job may raise anything
            seconds = monotonic_seconds() - started
            if running.is_cancelled:
                running.take_back()
                return await self._cancelled(attempt, error, seconds)
            raise await self._failed(attempt, error, seconds) from error
        seconds = monotonic_seconds() - started
        if (claim := attempt.claim) is not None:
            await self._record(lambda: self._ledger.finish(claim, result))
        observer.observe(JobFinished(job=name, job_id=job_id, attempt=number, duration_seconds=seconds))
        return result

    async def _make(self, running: Running, arguments: dict[str, Any]) -> Any:
        job = running.attempt.job
        try:
            async with asyncio.timeout(job.timeout_seconds):
                return await job(self._runtime, **checked(job, arguments))
        finally:
            running.end()

    async def _cancelled(self, attempt: Attempt, error: BaseException | None, seconds: float) -> None:
        """Record that the attempt stopped because somebody wished so."""
        what = None if error is None else describe(error, attempt.job.timeout_seconds)
        if (claim := attempt.claim) is not None:
            await self._record(lambda: self._ledger.cancelled(claim, error=what))
        self._runtime.observer.observe(
            JobCancelled(
                job=attempt.job.name,
                job_id=str(attempt.job_id),
                attempt=attempt.number,
                duration_seconds=seconds,
            )
        )

    async def _failed(self, attempt: Attempt, error: BaseException, seconds: float) -> AttemptFailed:
        """Record a failure; return what SAQ is told."""
        job, message = attempt.job, attempt.message
        is_last = isinstance(error, GiveUp) or attempt.counted >= attempt.max_attempts
        delay = None if is_last else job.backoff.delay_seconds(attempt.counted)
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
        if attempt.claim is not None or is_last:
            message.retries = NEVER  # for SAQ this message ends here; the ledger sends the next one
        else:
            message.retry_delay = delay or 0.0
        await self._record(lambda: self._write_failure(attempt, what, delay))
        return AttemptFailed(what)

    async def _write_failure(self, attempt: Attempt, error: str, delay: float | None) -> None:
        if (claim := attempt.claim) is None:
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
            await self._ledger.bury(claim, error=error)
        else:
            await self._ledger.retry(claim, delay_seconds=delay, error=error)

    async def _interrupted(self, attempt: Attempt) -> None:
        """Give the attempt back: this worker stops, the message returns to the queue and another goes on."""
        if (claim := attempt.claim) is not None:
            await self._record(lambda: self._ledger.release(claim))

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


def _about(attempt: Attempt) -> dict[str, Value]:
    """Return what the span of an attempt tells; arguments may be anybody's."""
    return {
        "messaging.system": "monohull",
        "messaging.operation.type": "process",
        "messaging.destination.name": attempt.job.queue,
        "monohull.job.name": attempt.job.name,
        "monohull.job.id": str(attempt.job_id),
        "monohull.job.attempt": attempt.number,
    }


def checked(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments as the job describes them.

    Raises:
        GiveUp: They do not fit, and never will.
    """
    try:
        return job.checked(arguments)
    except msgspec.ValidationError as error:
        raise GiveUp(f"the arguments do not fit: {error}") from error


def describe(error: BaseException, timeout_seconds: float) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, TimeoutError) and not str(error):
        return f"TimeoutError: no result within {timeout_seconds:g} s"
    return f"{type(error).__name__}: {error}"


def stack_of(error: BaseException) -> str:
    """Return the traceback of ``error`` and its causes."""
    return "".join(traceback.format_exception(error))
