"""The plug of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.queues.events import QUEUE_EVENTS
from modules.queues.looks import look, waiting_messages
from modules.queues.permissions import PERMISSIONS
from modules.queues.services import UserQueues
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what queues contributes to one process."""
    from modules.queues.controllers import QueuesController  # noqa: PLC0415 the API alone serves them

    runtime.metrics.on_scrape(
        "monohull_user_queue_messages",
        "Messages in all queues of pgmq, hidden ones included.",
        lambda: waiting_messages(runtime.database),
    )
    user_queues = UserQueues(runtime.database)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=[QueuesController]),),
        dependencies={"user_queues": lambda: user_queues},
    )


module = Module(
    name="queues",
    permissions=PERMISSIONS,
    events=QUEUE_EVENTS,
    parts=parts,
    looks={"queues": look},
)
