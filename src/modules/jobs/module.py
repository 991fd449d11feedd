"""The plug of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.jobs.events import JOB_EVENTS
from modules.jobs.permissions import PERMISSIONS
from modules.jobs.services import JobRuns
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    import click

    from monohull.kernel.diagnosis import Diagnosis
    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what jobs contribute to one process."""
    from modules.jobs.controllers import CONTROLLERS  # noqa: PLC0415 the API alone serves them

    runs = JobRuns(runtime)

    async def waiting() -> dict[str, float]:
        return {queue.name: float(queue.waiting) for queue in await runs.queues()}

    async def oldest() -> dict[str, float]:
        return {queue.name: queue.oldest_seconds for queue in await runs.queues()}

    runtime.metrics.on_scrape_each(
        "monohull_jobs_waiting", "Jobs that are due and not begun.", "queue", waiting
    )
    runtime.metrics.on_scrape_each(
        "monohull_jobs_oldest_seconds", "How long the oldest of them has been due.", "queue", oldest
    )
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=list(CONTROLLERS)),),
        dependencies={"job_runs": lambda: runs},
    )


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether jobs are run, and what became of them."""
    from modules.jobs.looks import look as look_at  # noqa: PLC0415 start-up time

    return await look_at(runtime)


def cli() -> click.Group:
    """Return ``monohull jobs``."""
    from modules.jobs.cli import jobs  # noqa: PLC0415 start-up time

    return jobs


module = Module(
    name="jobs",
    permissions=PERMISSIONS,
    events=JOB_EVENTS,
    cli={"jobs": cli},
    parts=parts,
    looks={"jobs": look},
)
