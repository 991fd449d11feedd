"""Bodies of ``/platform/v1/schedules``, and entries of ``[[schedules]]`` in ``monohull.toml``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from monohull.kernel.patterns import END

ScheduleName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}" + END)]
FieldsText: TypeAlias = Annotated[str, Meta(min_length=9, max_length=200)]
ZoneName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
JobName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
CatchUpLimit: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
LateSeconds: TypeAlias = Annotated[int, Meta(ge=1, le=604_800)]
TimeoutSeconds: TypeAlias = Annotated[int, Meta(ge=1, le=3600)]
Missed: TypeAlias = Literal["skip", "once", "all"]
Overlap: TypeAlias = Literal["skip", "queue", "allow"]
Source: TypeAlias = Literal["code", "project", "api", "sql"]


class CreateSchedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule to be made: five fields of cron, read in a time zone, and the job that runs."""

    name: ScheduleName
    schedule: FieldsText
    job: JobName
    arguments: dict[str, Any] = {}
    timezone: ZoneName = "UTC"
    missed: Missed = "once"
    catch_up_limit: CatchUpLimit = 100
    overlap: Overlap = "skip"
    late_after_seconds: LateSeconds = 300
    is_paused: bool = False


class SchedulePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different."""

    schedule: FieldsText | UnsetType = UNSET
    job: JobName | UnsetType = UNSET
    arguments: dict[str, Any] | UnsetType = UNSET
    timezone: ZoneName | UnsetType = UNSET
    missed: Missed | UnsetType = UNSET
    catch_up_limit: CatchUpLimit | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    late_after_seconds: LateSeconds | UnsetType = UNSET


class DeclaredSchedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of ``[[schedules]]``: a job, or a statement and the database role that it runs as."""

    name: ScheduleName
    schedule: FieldsText
    job: JobName | None = None
    arguments: dict[str, Any] = {}
    statement: Annotated[str, Meta(min_length=1)] | None = None
    role: Annotated[str, Meta(min_length=1, max_length=63)] | None = None
    timeout_seconds: TimeoutSeconds = 60
    timezone: ZoneName = "UTC"
    missed: Missed = "once"
    catch_up_limit: CatchUpLimit = 100
    overlap: Overlap = "skip"
    late_after_seconds: LateSeconds = 300

    def __post_init__(self) -> None:
        if (self.job is None) is (self.statement is None):
            raise ValueError("one of job and statement says what runs")
        if (self.statement is None) is not (self.role is None):
            raise ValueError("a statement needs the role that it runs as, and a job has none")


class ScheduleView(Struct, frozen=True, kw_only=True):
    """A schedule. ``next_at`` is null while it is paused or cannot run; ``fault`` says why not."""

    name: str
    source: Source
    schedule: str
    timezone: str
    job: str | None
    arguments: dict[str, Any]
    statement: str | None
    database_role: str | None
    timeout_seconds: int
    missed: Missed
    catch_up_limit: int
    overlap: Overlap
    late_after_seconds: int
    is_paused: bool
    next_at: datetime | None
    fault: str | None
    created_at: datetime
    updated_at: datetime


class ScheduleRunView(Struct, frozen=True, kw_only=True):
    """What became of a tick.

    ``state`` is ``waiting``, ``queued`` or ``running``, and then the outcome: ``succeeded``, ``failed``,
    ``skipped`` (the run before had not ended), ``missed`` (no worker was there), ``superseded`` (a later run
    stands for it), ``lost`` (the ledger forgot the job).
    """

    id: UUID
    schedule: str
    tick: datetime
    kind: Literal["tick", "catch_up", "manual"]
    state: str
    job_id: UUID | None
    started_at: datetime | None
    ended_at: datetime | None
    attempts: int
    late_seconds: float | None
    error: str | None
