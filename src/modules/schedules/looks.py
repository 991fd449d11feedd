"""What ``monohull doctor`` and the metrics look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.schedules.metrics import RUNS
from modules.schedules.project import read_declared
from monohull.kernel.diagnosis import Diagnosis
from monohull.kernel.errors import Problem
from monohull.kernel.schedule_runs import ScheduleRunEnded
from monohull.kernel.settings import read_project

if TYPE_CHECKING:
    from monohull.kernel.database.engine import Database
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observation, Reader
    from monohull.kernel.runtime import Runtime

LATE_SECONDS: Final = 300.0

_OVERDUE: Final = """
    select coalesce(extract(epoch from now() - min(next_at)), 0)::float8 as seconds
    from monohull.schedules
    where paused_at is null and next_at < now()
        and (source <> 'code' or seen_at > now() - interval '7 days')
"""
_FAULTS: Final = "select name, fault from monohull.schedules where fault is not null order by name limit 5"
_FAILED: Final = """
    select distinct schedule from monohull.schedule_runs
    where outcome in ('failed', 'lost') and ended_at > now() - interval '1 day' order by schedule limit 5
"""


async def overdue_seconds(database: Database) -> float | None:
    """Return for how long the most overdue schedule waits for the relay; None when the database is away."""
    try:
        row = await database.run(_OVERDUE)
    except Problem:
        return None
    return None if row is None else max(0.0, row["seconds"])


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether schedules can be read, are kept, and succeed."""
    declared = read_declared(read_project(runtime.settings.project))
    async with runtime.database.connection() as connection:
        faults = {row["name"]: row["fault"] for row in await connection.fetch(_FAULTS)}
        seconds = await connection.fetchval(_OVERDUE)
        failed = [row["schedule"] for row in await connection.fetch(_FAILED)]
    if wrong := {**faults, **declared.faults}:
        name, reason = next(iter(wrong.items()))
        return Diagnosis("schedules", "wrong", f"{len(wrong)} cannot be used; {name}: {reason}")
    if seconds > LATE_SECONDS:
        message = f"one waits for {seconds:.0f} s; is a worker running? start one with `monohull worker`"
        return Diagnosis("schedules", "wrong", message)
    if failed:
        message = f"failed within a day: {', '.join(failed)}; see `monohull schedules runs --outcome failed`"
        return Diagnosis("schedules", "advice", message)
    return Diagnosis("schedules", "ok", "all can be read and are kept; none failed within a day")


def schedule_metrics(of: Metrics) -> Reader:
    """Return the reader that counts runs by schedule and outcome."""
    runs = of.counter(RUNS)

    def read(observation: Observation) -> None:
        if isinstance(observation, ScheduleRunEnded):
            runs.labels(observation.schedule, observation.outcome).inc()

    return read
