"""The plug of ingest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.ingest.events import INGEST_EVENTS
from modules.ingest.jobs import CRONS, purge
from modules.ingest.metrics import METRICS
from modules.ingest.permissions import PERMISSIONS
from modules.ingest.settings import IngestSettings
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import click

    from monohull.kernel.diagnosis import Diagnosis
    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what ingest contributes to one process."""
    from modules.ingest.assembly import build_sources  # noqa: PLC0415 the API alone has them
    from modules.ingest.controllers import CONTROLLERS  # noqa: PLC0415 as above
    from modules.ingest.services import DeadLetters  # noqa: PLC0415 as above

    sources, letters = build_sources(runtime), DeadLetters(runtime.database)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=list(CONTROLLERS)),),
        dependencies={"ingest_sources": lambda: sources, "ingest_letters": lambda: letters},
    )


def in_worker(runtime: Runtime) -> AbstractAsyncContextManager[None]:
    """Take messages in this worker."""
    from modules.ingest.working import in_worker as working  # noqa: PLC0415 the worker alone does it

    return working(runtime)


def sampled(runtime: Runtime) -> None:
    """Say how the gauges of sources are read."""
    from modules.ingest.looks import sampled as sample  # noqa: PLC0415 start-up time

    sample(runtime)


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether sources can be read."""
    from modules.ingest.looks import look as look_at  # noqa: PLC0415 start-up time

    return await look_at(runtime)


def cli() -> click.Group:
    """Return ``monohull ingest``."""
    from modules.ingest.cli import ingest  # noqa: PLC0415 start-up time

    return ingest


module = Module(
    name="ingest",
    requires=("rbac",),
    settings=IngestSettings,
    permissions=PERMISSIONS,
    events=INGEST_EVENTS,
    jobs=(purge,),
    cron=CRONS,
    cli={"ingest": cli},
    parts=parts,
    in_worker=(in_worker,),
    looks={"ingest": look},
    metrics=METRICS,
    sampled=sampled,
)
