"""The plug of webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.webhooks.events import WEBHOOK_EVENTS
from modules.webhooks.jobs import CRONS, SUBSCRIBER, purge
from modules.webhooks.metrics import METRICS
from modules.webhooks.permissions import PERMISSIONS
from modules.webhooks.settings import WebhooksSettings
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import click

    from monohull.kernel.diagnosis import Diagnosis
    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what webhooks contribute to one process."""
    from modules.webhooks.assembly import build_endpoints, build_vault  # noqa: PLC0415 the API alone has them
    from modules.webhooks.controllers import CONTROLLERS  # noqa: PLC0415 as above
    from modules.webhooks.services import Deliveries, Secrets  # noqa: PLC0415 as above

    endpoints = build_endpoints(runtime)
    secrets, deliveries = Secrets(runtime.database, build_vault(runtime)), Deliveries(runtime.database)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=list(CONTROLLERS)),),
        dependencies={
            "webhook_endpoints": lambda: endpoints,
            "webhook_secrets": lambda: secrets,
            "webhook_deliveries": lambda: deliveries,
        },
    )


def sampled(runtime: Runtime) -> None:
    """Say how the gauges of webhooks are read."""
    from modules.webhooks.looks import sampled as sample  # noqa: PLC0415 start-up time

    sample(runtime)


def in_worker(runtime: Runtime) -> AbstractAsyncContextManager[None]:
    """Fan out and send in this worker."""
    from modules.webhooks.working import in_worker as working  # noqa: PLC0415 the worker alone does it

    return working(runtime)


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether deliveries are made in time."""
    from modules.webhooks.looks import look as look_at  # noqa: PLC0415 start-up time

    return await look_at(runtime)


def cli() -> click.Group:
    """Return ``monohull webhooks``."""
    from modules.webhooks.cli import webhooks  # noqa: PLC0415 start-up time

    return webhooks


module = Module(
    name="webhooks",
    requires=("rbac", "auth"),
    settings=WebhooksSettings,
    permissions=PERMISSIONS,
    events=WEBHOOK_EVENTS,
    jobs=(purge,),
    subscribers=(SUBSCRIBER,),
    cron=CRONS,
    cli={"webhooks": cli},
    parts=parts,
    in_worker=(in_worker,),
    looks={"webhooks": look},
    metrics=METRICS,
    sampled=sampled,
)
