"""``/platform/v1/jobs``, ``/job-batches``, ``/job-types`` and ``/job-queues``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from modules.jobs.dtos import (
    BatchView,
    Changed,
    JobPage,
    JobType,
    JobView,
    NewBatch,
    NewJob,
    QueueView,
    Selection,
    State,
    without_details,
)
from modules.jobs.permissions import CREATE_RUNS, READ_RUNS, WRITE_QUEUES, WRITE_RUNS
from modules.jobs.searching import ABSENT, demand_zones
from modules.jobs.services import NO_BATCH, JobRuns
from monohull.kernel.errors import InvalidRequest
from monohull.kernel.guards import principal_of, requires
from monohull.kernel.pages import id_of
from monohull.kernel.permissions import grants

MAX_LIMIT: Final = 200
ONE_JOB_BYTES: Final = 400_000
"""Of a body: the arguments, and room for the rest."""
SELECTION_BYTES: Final = 100_000
LOCATION: Final = "/platform/v1/jobs/"


class JobsController(Controller):
    path = "/jobs"
    tags = ("Jobs",)

    @get(guards=[requires(READ_RUNS.name)], operation_id="ListJobs")
    async def show(  # noqa: PLR0913, PLR0917 each is a parameter of the query
        self,
        job_runs: NamedDependency[JobRuns],
        name: FromQuery[str | None] = None,
        queue: FromQuery[str | None] = None,
        job_state: Annotated[State | None, QueryParameter(name="state")] = None,
        key: FromQuery[str | None] = None,
        event_id: FromQuery[UUID | None] = None,
        batch_id: FromQuery[UUID | None] = None,
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> JobPage:
        """List jobs, the newest first; ``next`` of a page is the ``cursor`` of the following one."""
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.", details=str(limit))
        if any("\0" in text for text in (name, queue, key) if text is not None):
            raise InvalidRequest("The search holds a zero byte; no job does.")
        demand_zones((since, until))
        found = (name, queue, job_state, key, event_id, batch_id, since, until)
        wanted = None
        if any(value is not None for value in found):
            wanted = Selection(
                name=name,
                queue=queue,
                state=job_state,
                key=key,
                event_id=event_id,
                batch_id=batch_id,
                since=since,
                until=until,
            )
        page = await job_runs.search.page(wanted, limit=limit, cursor=cursor)
        return JobPage(jobs=page.jobs, next=page.next)

    @post(guards=[requires(CREATE_RUNS.name)], operation_id="EnqueueJob", request_max_body_size=ONE_JOB_BYTES)
    async def enqueue(
        self, request: Request[Any, Any, Any], job_runs: NamedDependency[JobRuns], data: JSONBody[NewJob]
    ) -> Response[JobView]:
        """Ask for a job that is declared as public. 200 instead of 201: one with this key is not done yet.

        Of that one only those who may read jobs see more than its name, state and times.
        """
        job, is_new = await job_runs.enqueue(data)
        if not is_new and not grants(principal_of(request).permissions, READ_RUNS.name):
            job = without_details(job)
        return Response(
            job,
            status_code=HTTP_201_CREATED if is_new else HTTP_200_OK,
            headers={"Location": f"{LOCATION}{job.id}"},
        )

    @get("/{job_id:str}", guards=[requires(READ_RUNS.name)], operation_id="GetJob")
    async def one(self, job_runs: NamedDependency[JobRuns], job_id: FromPath[str]) -> JobView:
        """Show a job with its attempts and result."""
        return await job_runs.search.one(id_of(job_id, ABSENT))

    @post(
        "/{job_id:str}/cancel",
        guards=[requires(WRITE_RUNS.name)],
        operation_id="CancelJob",
        status_code=HTTP_200_OK,
    )
    async def cancel(self, job_runs: NamedDependency[JobRuns], job_id: FromPath[str]) -> JobView:
        """Cancel a job: at once while it waits; while it runs ``is_cancelling`` is true until it stopped."""
        return await job_runs.cancel_one(id_of(job_id, ABSENT))

    @post(
        "/{job_id:str}/retry",
        guards=[requires(WRITE_RUNS.name)],
        operation_id="RetryJob",
        status_code=HTTP_200_OK,
    )
    async def retry(self, job_runs: NamedDependency[JobRuns], job_id: FromPath[str]) -> JobView:
        """Ask again for a job that is dead or was cancelled, with as many attempts as a new one."""
        return await job_runs.retry_one(id_of(job_id, ABSENT))

    @delete("/{job_id:str}", guards=[requires(WRITE_RUNS.name)], operation_id="DeleteJob")
    async def forget(self, job_runs: NamedDependency[JobRuns], job_id: FromPath[str]) -> None:
        """Delete a job that is done, with its attempts and result."""
        await job_runs.delete_one(id_of(job_id, ABSENT))

    @post(
        "/cancel",
        guards=[requires(WRITE_RUNS.name)],
        operation_id="CancelJobs",
        status_code=HTTP_200_OK,
        request_max_body_size=SELECTION_BYTES,
    )
    async def cancel_many(self, job_runs: NamedDependency[JobRuns], data: JSONBody[Selection]) -> Changed:
        """Cancel the jobs that are chosen and not done, a thousand at a time."""
        return await job_runs.cancel(data)

    @post(
        "/retry",
        guards=[requires(WRITE_RUNS.name)],
        operation_id="RetryJobs",
        status_code=HTTP_200_OK,
        request_max_body_size=SELECTION_BYTES,
    )
    async def retry_many(self, job_runs: NamedDependency[JobRuns], data: JSONBody[Selection]) -> Changed:
        """Ask again for the jobs that are chosen and dead or cancelled, a thousand at a time."""
        return await job_runs.retry(data)

    @post(
        "/delete",
        guards=[requires(WRITE_RUNS.name)],
        operation_id="DeleteJobs",
        status_code=HTTP_200_OK,
        request_max_body_size=SELECTION_BYTES,
    )
    async def forget_many(self, job_runs: NamedDependency[JobRuns], data: JSONBody[Selection]) -> Changed:
        """Delete the jobs that are chosen and done, a thousand at a time."""
        return await job_runs.delete(data)


class BatchesController(Controller):
    path = "/job-batches"
    tags = ("Jobs",)

    @post(guards=[requires(CREATE_RUNS.name)], operation_id="EnqueueJobBatch")
    async def enqueue(
        self, job_runs: NamedDependency[JobRuns], data: JSONBody[NewBatch]
    ) -> Response[BatchView]:
        """Ask for several jobs, all or none, and for one that follows when each has a final state."""
        batch = await job_runs.enqueue_batch(data)
        return Response(batch, headers={"Location": f"/platform/v1/job-batches/{batch.id}"})

    @get("/{batch_id:str}", guards=[requires(READ_RUNS.name)], operation_id="GetJobBatch")
    async def one(self, job_runs: NamedDependency[JobRuns], batch_id: FromPath[str]) -> BatchView:
        """Show a batch and what became of its jobs so far."""
        return await job_runs.batch(id_of(batch_id, NO_BATCH))


class TypesController(Controller):
    path = "/job-types"
    tags = ("Jobs",)

    @get(guards=[requires(CREATE_RUNS.name)], operation_id="ListJobTypes")
    async def show(self, job_runs: NamedDependency[JobRuns]) -> Sequence[JobType]:
        """List the jobs that may be asked for, with the JSON Schema of their arguments."""
        return job_runs.types()


class QueuesController(Controller):
    path = "/job-queues"
    tags = ("Jobs",)

    @get(guards=[requires(READ_RUNS.name)], operation_id="ListJobQueues")
    async def show(self, job_runs: NamedDependency[JobRuns]) -> Sequence[QueueView]:
        """List queues with how much waits in them and for how long."""
        return await job_runs.queues()

    @post(
        "/{queue:str}/pause",
        guards=[requires(WRITE_QUEUES.name)],
        operation_id="PauseJobQueue",
        status_code=HTTP_200_OK,
    )
    async def pause(self, job_runs: NamedDependency[JobRuns], queue: FromPath[str]) -> QueueView:
        """Begin nothing of a queue any more; what runs goes on, and jobs can be asked for."""
        return await job_runs.pause(queue)

    @post(
        "/{queue:str}/resume",
        guards=[requires(WRITE_QUEUES.name)],
        operation_id="ResumeJobQueue",
        status_code=HTTP_200_OK,
    )
    async def resume(self, job_runs: NamedDependency[JobRuns], queue: FromPath[str]) -> QueueView:
        """Let a queue go on."""
        return await job_runs.resume(queue)
