"""The plug of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.streams.events import STREAM_EVENTS
from modules.streams.metrics import METRICS
from modules.streams.permissions import PERMISSIONS
from modules.streams.settings import StreamsSettings
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import click

    from monohull.kernel.diagnosis import Diagnosis
    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what streams contribute to one process."""
    from modules.streams import assembly  # noqa: PLC0415 the API alone has them
    from modules.streams.controllers import CONTROLLERS  # noqa: PLC0415 as above

    sinks, testing = assembly.build_sinks(runtime), assembly.build_testing(runtime)
    schemas = assembly.build_schemas(runtime)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=list(CONTROLLERS)),),
        dependencies={
            "stream_sinks": lambda: sinks,
            "stream_testing": lambda: testing,
            "stream_schemas": lambda: schemas,
        },
    )


def in_worker(runtime: Runtime) -> AbstractAsyncContextManager[None]:
    """Carry events in this worker."""
    from modules.streams.working import in_worker as working  # noqa: PLC0415 the worker alone does it

    return working(runtime)


def sampled(runtime: Runtime) -> None:
    """Say how the gauges of sinks are read."""
    from modules.streams.looks import sampled as sample  # noqa: PLC0415 start-up time

    sample(runtime)


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether sinks take events."""
    from modules.streams.looks import look as look_at  # noqa: PLC0415 start-up time

    return await look_at(runtime)


def cli() -> click.Group:
    """Return ``monohull streams``."""
    from modules.streams.cli import streams  # noqa: PLC0415 start-up time

    return streams


module = Module(
    name="streams",
    requires=("rbac",),
    settings=StreamsSettings,
    permissions=PERMISSIONS,
    events=STREAM_EVENTS,
    cli={"streams": cli},
    parts=parts,
    in_worker=(in_worker,),
    looks={"streams": look},
    metrics=METRICS,
    sampled=sampled,
)
