"""Bodies of ``/platform/v1/jobs``, ``/job-batches``, ``/job-types`` and ``/job-queues``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from msgspec import Meta, Raw, Struct, structs

from monohull.kernel.patterns import END

MAX_DELAY_SECONDS = 316_224_000
"""Ten years."""

FIRST_YEAR, LAST_YEAR = 1900, 9000
"""Times at the very edge of the calendar have no counterpart in UTC."""

SCHEDULE_PREFIX = "cron:"
"""A schedule's jobs have keys of this kind; whoever held one would keep the schedule from running."""

State: TypeAlias = Literal["queued", "scheduled", "running", "succeeded", "dead", "cancelled"]
JobName: TypeAlias = Annotated[
    str, Meta(max_length=200, pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+" + END)
]
QueueName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\ud800-\udfff]+" + END)
]
JobKey: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00\ud800-\udfff]+$")]
Priority: TypeAlias = Annotated[int, Meta(ge=0, le=9)]
MaxAttempts: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
Delay: TypeAlias = Annotated[float, Meta(ge=0, le=MAX_DELAY_SECONDS)]
AwareTime: TypeAlias = Annotated[datetime, Meta(tz=True)]


def demand_years(*times: datetime | None) -> None:
    """Let times pass that are in the calendar in every zone.

    Raises:
        ValueError: One is not.
    """
    if any(time is not None and not FIRST_YEAR <= time.year <= LAST_YEAR for time in times):
        raise ValueError(f"a time is in one of the years {FIRST_YEAR} to {LAST_YEAR}")


class NewJob(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job to be run.

    ``key``: while a job of this name and key is not done, asking again gives that one. ``priority`` is 0
    to 9, the larger goes first. ``delay_seconds`` or ``due_at`` says not before when. What is left out is as
    the job is declared.
    """

    name: JobName
    arguments: dict[str, Any] = {}
    key: JobKey | None = None
    queue: QueueName | None = None
    priority: Priority | None = None
    max_attempts: MaxAttempts | None = None
    delay_seconds: Delay | None = None
    due_at: AwareTime | None = None

    def __post_init__(self) -> None:
        if self.delay_seconds is not None and self.due_at is not None:
            raise ValueError("one of delay_seconds and due_at says when")
        demand_years(self.due_at)
        if self.due_at is not None and self.due_at - datetime.now(UTC) > timedelta(seconds=MAX_DELAY_SECONDS):
            raise ValueError("due_at is within ten years")
        if self.key is not None and self.key.startswith(SCHEDULE_PREFIX):
            raise ValueError(f"keys that begin with {SCHEDULE_PREFIX} are those of schedules")


class Completion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The job that runs once all of a batch have a final state; it gets ``batch`` beside its arguments."""

    name: JobName
    arguments: dict[str, Any] = {}
    queue: QueueName | None = None
    priority: Priority | None = None


class NewBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs that belong together, all of them or none."""

    jobs: Annotated[list[NewJob], Meta(min_length=1, max_length=1000)]
    completion: Completion | None = None


class Selection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs; at least one of these says so, and all that are given have to hold."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=1000)] | None = None
    name: JobName | None = None
    queue: QueueName | None = None
    state: State | None = None
    key: JobKey | None = None
    event_id: UUID | None = None
    batch_id: UUID | None = None
    since: AwareTime | None = None
    until: AwareTime | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, field) is None for field in self.__struct_fields__):
            raise ValueError("say which jobs: by ids, name, queue, state, key, event_id, batch_id or time")
        demand_years(self.since, self.until)


class JobSummary(Struct, frozen=True, kw_only=True):
    """A job in a list. ``worker`` is who is at it, or was last; times are in UTC."""

    id: UUID
    name: str
    queue: str
    priority: int
    state: State
    key: str | None
    batch_id: UUID | None
    event_id: UUID | None
    attempts: int
    progress: float | None
    progress_text: str | None
    error: str | None
    is_cancelling: bool
    actor: str | None
    request_id: str | None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    done_at: datetime | None


class AttemptView(Struct, frozen=True, kw_only=True):
    """One attempt at a job. ``outcome`` is null while it runs.

    ``lost`` is one whose worker died; ``interrupted`` one whose worker stopped, which does not count.
    """

    number: int
    worker: str | None
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["succeeded", "failed", "cancelled", "interrupted", "lost"] | None
    error: str | None


class JobView(JobSummary, frozen=True, kw_only=True):
    """A job with everything about it.

    ``arguments`` are shown of jobs that are public; what the others get is their own business.
    ``is_result_cut`` says that the result was too long: it is a string with its beginning then.
    """

    arguments: Raw | None
    result: Raw | None
    is_result_cut: bool
    max_attempts: int | None
    traceparent: str | None
    worker: str | None
    heartbeat_at: datetime | None
    history: tuple[AttemptView, ...]


def without_details(job: JobView) -> JobView:
    """Return what may be known of a job by somebody who may not read jobs."""
    return structs.replace(
        job,
        arguments=None,
        result=None,
        error=None,
        actor=None,
        request_id=None,
        traceparent=None,
        progress_text=None,
        worker=None,
        history=(),
    )


class JobPage(Struct, frozen=True, kw_only=True):
    """Jobs, the newest first; ``next`` is the ``cursor`` of the following page."""

    jobs: tuple[JobSummary, ...]
    next: str | None


class Changed(Struct, frozen=True, kw_only=True):
    """Which jobs were changed; where ``is_more``, ask again for the rest."""

    ids: tuple[UUID, ...]
    is_more: bool


class BatchView(Struct, frozen=True, kw_only=True):
    """A batch and what became of its jobs so far; ``completion_job_id`` is the job that follows."""

    id: UUID
    total: int
    pending: int
    succeeded: int
    dead: int
    cancelled: int
    completion_name: str | None
    completion_job_id: UUID | None
    created_at: datetime
    done_at: datetime | None


class JobType(Struct, frozen=True, kw_only=True):
    """A job that may be asked for; ``arguments`` is the JSON Schema of its arguments."""

    name: str
    description: str
    queue: str
    priority: int
    max_attempts: int
    timeout_seconds: float
    arguments: dict[str, Any]


class QueueView(Struct, frozen=True, kw_only=True):
    """A queue.

    ``waiting`` are due and not begun, ``scheduled`` are not due yet; ``oldest_seconds`` is how long the
    oldest of the waiting has been due.
    """

    name: str
    waiting: int
    scheduled: int
    running: int
    oldest_seconds: float
    paused_at: datetime | None
