"""What people did to jobs. That jobs run, fail and succeed is in the ledger, the log and the metrics."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class JobRequested(Event, frozen=True):
    """Somebody asked for a job from outside."""

    name: ClassVar[str] = "jobs.job_requested"

    job_id: str
    job_name: str
    queue: str


class JobBatchRequested(Event, frozen=True):
    """Somebody asked for several jobs that belong together."""

    name: ClassVar[str] = "jobs.batch_requested"

    batch_id: str
    jobs: int


class JobsCancelled(Event, frozen=True):
    """Somebody cancelled jobs: those that waited are over, ``stopping`` are told to stop."""

    name: ClassVar[str] = "jobs.jobs_cancelled"

    jobs: tuple[str, ...]
    stopping: int


class JobsRetried(Event, frozen=True):
    """Somebody asked again for jobs that were dead or cancelled."""

    name: ClassVar[str] = "jobs.jobs_retried"

    jobs: tuple[str, ...]


class JobsDeleted(Event, frozen=True):
    """Somebody deleted jobs that were done, with their results and attempts."""

    name: ClassVar[str] = "jobs.jobs_deleted"

    jobs: tuple[str, ...]


class JobQueuePaused(Event, frozen=True):
    """Nothing of a queue is begun until it is resumed."""

    name: ClassVar[str] = "jobs.queue_paused"

    queue: str


class JobQueueResumed(Event, frozen=True):
    """A queue goes on."""

    name: ClassVar[str] = "jobs.queue_resumed"

    queue: str


JOB_EVENTS: Final = (
    JobRequested,
    JobBatchRequested,
    JobsCancelled,
    JobsRetried,
    JobsDeleted,
    JobQueuePaused,
    JobQueueResumed,
)
