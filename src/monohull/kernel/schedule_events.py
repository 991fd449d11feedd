"""What the relay tells of schedules: runs that were missed, are late, or failed."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import msgspec

from monohull.kernel.events import Event
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    import asyncpg

_PUBLISH: Final = """
    insert into monohull.outbox (id, name, version, key, payload, is_audited)
    values ($1, $2, $3, $4, $5::json, $6)
"""


class ScheduleRunMissed(Event, frozen=True):
    """Ticks of a schedule came and nothing ran for them.

    ``reason`` is ``away`` when no worker was there, and ``overlap`` when the run before had not ended.
    """

    name: ClassVar[str] = "schedules.run_missed"
    is_audited: ClassVar[bool] = False

    schedule: str
    reason: Literal["away", "overlap"]
    ticks: int
    first_tick: datetime
    last_tick: datetime


class ScheduleRunLate(Event, frozen=True):
    """A run began later than its schedule allows, or has not begun by then."""

    name: ClassVar[str] = "schedules.run_late"
    is_audited: ClassVar[bool] = False

    schedule: str
    run_id: str
    tick: datetime
    late_seconds: float


class ScheduleRunFailed(Event, frozen=True):
    """A run ended without success, after all attempts; or it could not begin."""

    name: ClassVar[str] = "schedules.run_failed"
    is_audited: ClassVar[bool] = False

    schedule: str
    run_id: str
    tick: datetime
    outcome: str
    attempts: int
    error: str


SCHEDULE_RUN_EVENTS: Final = (ScheduleRunMissed, ScheduleRunLate, ScheduleRunFailed)


async def publish(connection: asyncpg.Connection, event: Event, *, key: str) -> None:
    """Record ``event`` in the transaction of ``connection``, for code that has no session."""
    payload = msgspec.json.encode(event).decode()
    await connection.execute(_PUBLISH, uuid7(), event.name, event.version, key, payload, event.is_audited)
