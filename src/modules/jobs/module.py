"""The plug of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.jobs.events import JOB_EVENTS
from modules.jobs.metrics import METRICS, OLDEST_SECONDS, WAITING
from modules.jobs.permissions import PERMISSIONS
from modules.jobs.services import JobRuns
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from collections.abc import Mapping

    import click

    from monohull.kernel.diagnosis import Diagnosis
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.scrape import Values


def parts(runtime: Runtime) -> Parts:
    """Build what jobs contribute to one process."""
    from modules.jobs.controllers import CONTROLLERS  # noqa: PLC0415 the API alone serves them

    runs = JobRuns(runtime)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=list(CONTROLLERS)),),
        dependencies={"job_runs": lambda: runs},
    )


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether jobs are run, and what became of them."""
    from modules.jobs.looks import look as look_at  # noqa: PLC0415 start-up time

    return await look_at(runtime)


def sampled(runtime: Runtime) -> None:
    """Say how the gauges of queues are read."""
    runs = JobRuns(runtime)

    async def of_queues() -> Mapping[str, Values]:
        queues = await runs.queues()
        return {
            WAITING.name: {(queue.name,): float(queue.waiting) for queue in queues},
            OLDEST_SECONDS.name: {(queue.name,): queue.oldest_seconds for queue in queues},
        }

    runtime.metrics.on_scrape_values(METRICS, of_queues)


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
    metrics=METRICS,
    sampled=sampled,
)
