"""What people do with jobs: ask for them, cancel, try again, delete; batches and queues."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.exc import DBAPIError, IntegrityError

from modules.jobs.changing import BATCH, Changing
from modules.jobs.dtos import BatchView, Changed, JobType, QueueView, Selection
from modules.jobs.errors import (
    JobArgumentsInvalid,
    JobKeyTaken,
    JobStateConflict,
    UnknownJobName,
    UnknownQueue,
)
from modules.jobs.events import (
    JobBatchRequested,
    JobQueuePaused,
    JobQueueResumed,
    JobRequested,
    JobsCancelled,
    JobsDeleted,
    JobsRetried,
)
from modules.jobs.searching import ABSENT, Search
from monohull.kernel import clock, outbox
from monohull.kernel.batches import Call, enqueue_batch, enqueue_call
from monohull.kernel.database.engine import driver_error
from monohull.kernel.database.repository import violated_constraint
from monohull.kernel.errors import NotFound, Unavailable
from monohull.kernel.lane import ask_to_stop, forget_to_stop
from monohull.kernel.origin import acting_subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.jobs.changing import Cancelled
    from modules.jobs.dtos import Completion, JobView, NewBatch, NewJob
    from monohull.kernel.queues import Job
    from monohull.kernel.runtime import Runtime

T = TypeVar("T")

MAX_ARGUMENT_BYTES: Final = 262_144
KEY_INDEX: Final = "jobs_key"
TRIES: Final = 5
CROSSED_STATES: Final = ("40P01", "40001")
"""Deadlock, and serialization failure."""
NO_BATCH: Final = "No batch has this id."


class JobRuns:
    """Jobs of this instance.

    Args:
        runtime: Of the process; its modules declare the jobs.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._database = runtime.database
        self._queues = runtime.queues
        self._public = public_jobs(runtime)
        self.search = Search(runtime.database, self._public)

    def types(self) -> list[JobType]:
        """Return the jobs that may be asked for."""
        return [job_type(job) for job in self._public.values()]

    async def enqueue(self, wanted: NewJob) -> tuple[JobView, bool]:
        """Promise a job; return it, and whether it is new or the one that has the key already.

        Raises:
            UnknownJobName, UnknownQueue, JobArgumentsInvalid: 400.
        """
        call = self._call(wanted)
        job_id: UUID | None = None
        is_new = False
        while job_id is None:  # one that has the key may be done before it is looked at
            async with self._database.unit_of_work() as work:
                job_id = await enqueue_call(work, call)
                is_new = job_id is not None
                if job_id is not None:
                    asked = JobRequested(
                        job_id=str(job_id), job_name=call.job.name, queue=call.queue or call.job.queue
                    )
                    await outbox.publish(work, asked, key=str(job_id))
                elif wanted.key is not None:
                    job_id = await Changing(work).find_with_key(wanted.name, wanted.key)
        return await self.search.one(job_id), is_new

    async def enqueue_batch(self, wanted: NewBatch) -> BatchView:
        """Promise several jobs, all or none.

        Raises:
            UnknownJobName, UnknownQueue, JobArgumentsInvalid: 400. JobKeyTaken: 409.
        """
        calls = [self._call(each) for each in wanted.jobs]
        completion = None if wanted.completion is None else self._completion(wanted.completion)
        try:
            async with self._database.unit_of_work() as work:
                batch_id = await enqueue_batch(work, calls, completion=completion)
                asked = JobBatchRequested(batch_id=str(batch_id), jobs=len(calls))
                await outbox.publish(work, asked, key=str(batch_id))
        except IntegrityError as error:
            raise _key_taken(error) from error
        return await self.batch(batch_id)

    async def batch(self, batch_id: UUID) -> BatchView:
        """Return a batch with its counts.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            found = await Changing(work).batch(batch_id)
        if found is None:
            raise NotFound(NO_BATCH)
        return BatchView(**found)

    async def cancel(self, chosen: Selection) -> Changed:
        """Cancel jobs that are not done: those that wait at once, those that run when their worker hears."""

        async def change(work: AsyncSession) -> list[Cancelled]:
            found = await Changing(work).cancel(chosen)
            if found:
                stopping = sum(job.attempt is not None for job in found)
                told = JobsCancelled(jobs=tuple(str(job.id) for job in found), stopping=stopping)
                await _publish(work, told, told.jobs)
            return found

        found = await self._changing(change)
        running = [(str(job.id), job.attempt) for job in found if job.attempt is not None]
        if running:
            await ask_to_stop(self._queues.redis, running)
        return _changed([job.id for job in found])

    async def retry(self, chosen: Selection) -> Changed:
        """Ask again for jobs that are dead or were cancelled; those whose key is taken stay as they are.

        Raises:
            JobKeyTaken: 409, somebody took the key at this moment.
        """

        async def change(work: AsyncSession) -> list[UUID]:
            found = await Changing(work).retry(chosen)
            if found:
                told = JobsRetried(jobs=tuple(map(str, found)))
                await _publish(work, told, told.jobs)
            return found

        try:
            changed = _changed(await self._changing(change))
        except IntegrityError as error:
            raise _key_taken(error) from error
        await forget_to_stop(self._queues.redis, map(str, changed.ids))
        return changed

    async def delete(self, chosen: Selection) -> Changed:
        """Delete jobs that are done."""

        async def change(work: AsyncSession) -> list[UUID]:
            found = await Changing(work).delete(chosen)
            if found:
                told = JobsDeleted(jobs=tuple(map(str, found)))
                await _publish(work, told, told.jobs)
            return found

        return _changed(await self._changing(change))

    async def cancel_one(self, job_id: UUID) -> JobView:
        """Cancel a job; again is no mistake.

        Raises:
            NotFound: 404. JobStateConflict: 409, it is done.
        """
        changed = await self.cancel(Selection(ids=[job_id]))
        job = await self.search.one(job_id)
        if not changed.ids and not job.is_cancelling and job.state != "cancelled":
            raise JobStateConflict("The job is done.", details=job.state)
        return job

    async def retry_one(self, job_id: UUID) -> JobView:
        """Ask again for a job.

        Raises:
            NotFound: 404. JobStateConflict: 409, it is neither dead nor cancelled. JobKeyTaken: 409.
        """
        changed = await self.retry(Selection(ids=[job_id]))
        job = await self.search.one(job_id)
        if not changed.ids and job.state in ("dead", "cancelled"):
            raise JobKeyTaken("A newer job of this name has the key.", details=job.key)
        if not changed.ids:
            raise JobStateConflict("The job is neither dead nor cancelled.", details=job.state)
        return job

    async def delete_one(self, job_id: UUID) -> None:
        """Delete a job that is done.

        Raises:
            NotFound: 404. JobStateConflict: 409, it is not done.
        """
        if not (await self.delete(Selection(ids=[job_id]))).ids:
            job = await self.search.one(job_id)
            raise JobStateConflict("The job is not done.", details=job.state)

    async def queues(self) -> list[QueueView]:
        """Count what is not done, by queue."""
        async with self._database.unit_of_work() as work:
            rows = await Changing(work).queues(self._queues.names)
        return [QueueView(**row) for row in rows]

    async def pause(self, queue: str) -> QueueView:
        """Begin nothing of a queue any more; what runs goes on.

        Raises:
            NotFound: 404.
        """
        await self._queue(queue)
        async with self._database.unit_of_work() as work:
            if await Changing(work).pause(queue, acting_subject()):
                await outbox.publish(work, JobQueuePaused(queue=queue), key=queue)
        return await self._queue(queue)

    async def resume(self, queue: str) -> QueueView:
        """Let a queue go on.

        Raises:
            NotFound: 404.
        """
        await self._queue(queue)
        async with self._database.unit_of_work() as work:
            if await Changing(work).resume(queue):
                await outbox.publish(work, JobQueueResumed(queue=queue), key=queue)
        return await self._queue(queue)

    async def _changing(self, change: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Change many jobs in one transaction, again where it and another one waited for each other.

        Raises:
            Unavailable: 503, it happened every time.
        """
        for remaining in reversed(range(TRIES)):
            try:
                async with self._database.unit_of_work() as work:
                    return await change(work)
            except DBAPIError as error:
                if getattr(driver_error(error), "sqlstate", None) not in CROSSED_STATES:
                    raise
                if not remaining:
                    raise Unavailable("Other changes of these jobs were in the way.") from error
        raise AssertionError  # the last try returns or raises

    async def _queue(self, name: str) -> QueueView:
        for queue in await self.queues():
            if queue.name == name:
                return queue
        raise NotFound("There is no such queue.")

    def _call(self, wanted: NewJob) -> Call:
        due_at = wanted.due_at
        if wanted.delay_seconds is not None:
            due_at = clock.now() + timedelta(seconds=wanted.delay_seconds)
        return Call(
            job=self._job(wanted.name, wanted.arguments),
            arguments=wanted.arguments,
            key=wanted.key,
            queue=self._known_queue(wanted.queue),
            priority=wanted.priority,
            max_attempts=wanted.max_attempts,
            due_at=due_at,
        )

    def _completion(self, wanted: Completion) -> Call:
        if "batch" in wanted.arguments:
            raise JobArgumentsInvalid("The completion gets the argument batch from the batch itself.")
        counts = {"id": str(UUID(int=0)), "total": 0, "succeeded": 0, "dead": 0, "cancelled": 0}
        return Call(
            job=self._job(wanted.name, {**wanted.arguments, "batch": counts}),
            arguments=wanted.arguments,
            queue=self._known_queue(wanted.queue),
            priority=wanted.priority,
        )

    def _job(self, name: str, arguments: dict[str, Any]) -> Job:
        """Return the public job of this name, once the arguments are seen to fit it."""
        if (job := self._public.get(name)) is None:
            raise UnknownJobName(f"No job called {name} may be asked for.")
        try:
            job.checked(arguments)
            size = len(msgspec.json.encode(arguments))
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            message = str(error) if isinstance(error, msgspec.ValidationError) else "a text is no Unicode"
            raise JobArgumentsInvalid(f"The arguments of {name} do not fit.", details=message) from error
        if size > MAX_ARGUMENT_BYTES:
            raise JobArgumentsInvalid(
                f"The arguments have more than {MAX_ARGUMENT_BYTES} bytes.",
                hint="Give ids, and let the job read what they name.",
            )
        return job

    def _known_queue(self, name: str | None) -> str | None:
        if name is not None and name not in self._queues.names:
            raise UnknownQueue("No worker serves this queue.", details=name)
        return name


def public_jobs(runtime: Runtime) -> Mapping[str, Job]:
    """Return the jobs that may be asked for from outside, by name."""
    found = (job for module in runtime.modules for job in module.jobs if job.is_public)
    return {job.name: job for job in sorted(found, key=lambda job: job.name)}


def job_type(job: Job) -> JobType:
    """Describe a public job."""
    description = (job.function.__doc__ or "").strip().partition("\n")[0]
    return JobType(
        name=job.name,
        description=description,
        queue=job.queue,
        priority=job.priority,
        max_attempts=job.max_attempts,
        timeout_seconds=job.timeout_seconds,
        arguments={} if job.arguments is None else msgspec.json.schema(job.arguments),
    )


async def _publish(
    work: AsyncSession, told: JobsCancelled | JobsRetried | JobsDeleted, jobs: Iterable[str]
) -> None:
    """Tell of several jobs at once; one alone is what the event is about."""
    jobs = tuple(jobs)
    await outbox.publish(work, told, key=jobs[0] if len(jobs) == 1 else None)


def _changed(ids: list[UUID]) -> Changed:
    return Changed(ids=tuple(ids), is_more=len(ids) == BATCH)


def _key_taken(error: IntegrityError) -> Exception:
    if violated_constraint(error) == KEY_INDEX:
        return JobKeyTaken("Another job of this name and key waits or runs.")
    return error


__all__ = ["ABSENT", "JobRuns", "public_jobs"]
