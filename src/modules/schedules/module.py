"""The plug of schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.schedules import metrics
from modules.schedules.building import build_schedules
from modules.schedules.events import SCHEDULE_EVENTS
from modules.schedules.jobs import CRONS, purge_runs, run_statement
from modules.schedules.looks import look, overdue_seconds, schedule_metrics
from modules.schedules.permissions import PERMISSIONS
from modules.schedules.project import keeping_project
from modules.schedules.settings import SchedulesSettings
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import click

    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what schedules contributes to one process."""
    from modules.schedules.controllers import (  # noqa: PLC0415 the API alone serves them
        ScheduleRunsController,
        SchedulesController,
    )

    schedules = build_schedules(runtime)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=[SchedulesController, ScheduleRunsController]),),
        dependencies={"schedules": lambda: schedules},
    )


def sampled(runtime: Runtime) -> None:
    """Say how the gauge of schedules is read."""
    runtime.metrics.on_scrape(metrics.OVERDUE_SECONDS, lambda: overdue_seconds(runtime.database))


def in_worker(runtime: Runtime) -> AbstractAsyncContextManager[None]:
    """Count what becomes of runs, and bring the schedules of the project into the table."""
    runtime.observer.add_reader(schedule_metrics(runtime.metrics))
    return keeping_project(runtime)


def cli() -> click.Group:
    """Return ``monohull schedules``."""
    from modules.schedules.cli import schedules  # noqa: PLC0415 start-up time

    return schedules


module = Module(
    name="schedules",
    settings=SchedulesSettings,
    permissions=PERMISSIONS,
    events=SCHEDULE_EVENTS,
    jobs=(run_statement, purge_runs),
    cron=CRONS,
    cli={"schedules": cli},
    parts=parts,
    in_worker=(in_worker,),
    looks={"schedules": look},
    metrics=metrics.METRICS,
    sampled=sampled,
)
