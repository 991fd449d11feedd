"""What people do with schedules; what becomes of runs is told by the relay (`kernel.schedule_events`)."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event
from monohull.kernel.schedule_events import SCHEDULE_RUN_EVENTS


class ScheduleCreated(Event, frozen=True):
    """A schedule was made over the API."""

    name: ClassVar[str] = "schedules.schedule_created"

    schedule: str
    fields: str
    timezone: str
    job: str


class ScheduleUpdated(Event, frozen=True):
    """A schedule was changed over the API; ``changed`` names what."""

    name: ClassVar[str] = "schedules.schedule_updated"

    schedule: str
    changed: tuple[str, ...]


class ScheduleDeleted(Event, frozen=True):
    """A schedule was deleted over the API. Its history stays."""

    name: ClassVar[str] = "schedules.schedule_deleted"

    schedule: str


class SchedulePaused(Event, frozen=True):
    """A schedule does nothing until it is resumed."""

    name: ClassVar[str] = "schedules.schedule_paused"

    schedule: str


class ScheduleResumed(Event, frozen=True):
    """A schedule that was paused goes on."""

    name: ClassVar[str] = "schedules.schedule_resumed"

    schedule: str


class ScheduleRunRequested(Event, frozen=True):
    """Somebody had a schedule run now."""

    name: ClassVar[str] = "schedules.run_requested"

    schedule: str
    run_id: str


SCHEDULE_EVENTS: Final = (
    ScheduleCreated,
    ScheduleUpdated,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleRunRequested,
    *SCHEDULE_RUN_EVENTS,
)
