"""The plug of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.queues.events import QUEUE_EVENTS
from modules.queues.looks import look, waiting_messages
from modules.queues.metrics import MESSAGES, METRICS
from modules.queues.permissions import PERMISSIONS
from modules.queues.services import UserQueues
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what queues contributes to one process."""
    from modules.queues.controllers import QueuesController  # noqa: PLC0415 the API alone serves them

    user_queues = UserQueues(runtime.database)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=[QueuesController]),),
        dependencies={"user_queues": lambda: user_queues},
    )


def sampled(runtime: Runtime) -> None:
    """Say how the gauge of queues is read."""
    runtime.metrics.on_scrape(MESSAGES, lambda: waiting_messages(runtime.database))


module = Module(
    name="queues",
    permissions=PERMISSIONS,
    events=QUEUE_EVENTS,
    parts=parts,
    looks={"queues": look},
    metrics=METRICS,
    sampled=sampled,
)
