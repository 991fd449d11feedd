"""``/platform/v1/queues``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from modules.queues.dtos import CreateQueue, Purged, QueueView
from modules.queues.permissions import DELETE_QUEUES, READ_QUEUES, WRITE_QUEUES
from modules.queues.services import ABSENT, UserQueues
from monohull.kernel.errors import NotFound
from monohull.kernel.guards import requires
from monohull.kernel.pages import page_of, paged

MAX_NAME_CHARACTERS: Final = 47


class QueuesController(Controller):
    path = "/queues"
    tags = ("Queues",)

    @get(guards=[requires(READ_QUEUES.name)], operation_id="ListQueues")
    async def show(
        self, request: Request[Any, Any, Any], user_queues: NamedDependency[UserQueues]
    ) -> Response[Sequence[QueueView]]:
        """List queues by name, with how much waits in each."""
        page = page_of(request)
        found, total = await user_queues.page(page)
        return paged(request, page, found, total)

    @post(guards=[requires(WRITE_QUEUES.name)], operation_id="CreateQueue")
    async def create(
        self, user_queues: NamedDependency[UserQueues], data: JSONBody[CreateQueue]
    ) -> QueueView:
        """Make a queue. Nobody but ``service_role`` may use it until grants and policies open it."""
        return await user_queues.create(data)

    @get("/{name:str}", guards=[requires(READ_QUEUES.name)], operation_id="GetQueue")
    async def one(self, user_queues: NamedDependency[UserQueues], name: FromPath[str]) -> QueueView:
        """Show a queue and how much waits in it."""
        return await user_queues.get(name_of(name))

    @post(
        "/{name:str}/purge",
        guards=[requires(DELETE_QUEUES.name)],
        operation_id="PurgeQueue",
        status_code=HTTP_200_OK,
    )
    async def purge(self, user_queues: NamedDependency[UserQueues], name: FromPath[str]) -> Purged:
        """Delete all messages of a queue; its archive stays."""
        return await user_queues.purge(name_of(name))

    @delete("/{name:str}", guards=[requires(DELETE_QUEUES.name)], operation_id="DropQueue")
    async def drop(self, user_queues: NamedDependency[UserQueues], name: FromPath[str]) -> None:
        """Drop a queue, with its messages and its archive."""
        await user_queues.drop(name_of(name))


def name_of(given: str) -> str:
    """Read a name in a path.

    Raises:
        NotFound: 404, nothing can be called so.
    """
    if len(given) > MAX_NAME_CHARACTERS or not given.isprintable():
        raise NotFound(ABSENT)
    return given
