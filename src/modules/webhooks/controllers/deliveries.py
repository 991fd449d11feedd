"""``/platform/v1/webhooks/deliveries`` and ``/replays``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_202_ACCEPTED

from modules.webhooks.controllers.pages import limit_of
from modules.webhooks.dtos import DeliveryDetail, DeliveryPage, DeliveryView, Replay, Replayed, State
from modules.webhooks.permissions import READ_DELIVERIES, REPLAY_DELIVERIES
from modules.webhooks.services import Deliveries
from modules.webhooks.services.deliveries import NO_DELIVERY, Wanted, parse_cursor
from monohull.kernel.guards import requires
from monohull.kernel.pages import id_of


class DeliveriesController(Controller):
    path = "/webhooks/deliveries"
    tags = ("Webhooks",)

    @get(guards=[requires(READ_DELIVERIES.name)], operation_id="ListWebhookDeliveries")
    async def show(  # noqa: PLR0913, PLR0917 each is a parameter of the query
        self,
        webhook_deliveries: NamedDependency[Deliveries],
        endpoint_id: FromQuery[UUID | None] = None,
        event_id: FromQuery[UUID | None] = None,
        in_state: Annotated[State | None, QueryParameter(name="state")] = None,
        event: FromQuery[str | None] = None,
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> DeliveryPage:
        """List deliveries, the newest first; ``next`` of a page is the ``cursor`` of the following one.

        ``event`` takes a name or ``auth.*``; ``since`` and ``until`` are times of the event.
        """
        wanted = Wanted(
            endpoint_id=endpoint_id, event_id=event_id, state=in_state, event=event, since=since, until=until
        )
        found, following = await webhook_deliveries.page(wanted, limit_of(limit), parse_cursor(cursor))
        return DeliveryPage(deliveries=tuple(found), next=following)

    @get("/{delivery_id:str}", guards=[requires(READ_DELIVERIES.name)], operation_id="GetWebhookDelivery")
    async def one(
        self, webhook_deliveries: NamedDependency[Deliveries], delivery_id: FromPath[str]
    ) -> DeliveryDetail:
        """Show a delivery with the event and every attempt: request, answer, timing."""
        return await webhook_deliveries.get(id_of(delivery_id, NO_DELIVERY))

    @post(
        "/{delivery_id:str}/replay",
        guards=[requires(REPLAY_DELIVERIES.name)],
        operation_id="ReplayWebhookDelivery",
        status_code=HTTP_202_ACCEPTED,
    )
    async def replay(
        self, webhook_deliveries: NamedDependency[Deliveries], delivery_id: FromPath[str]
    ) -> DeliveryView:
        """Deliver again: a new delivery with the same ``webhook-id``, marked ``Monohull-Replay-Of``."""
        return await webhook_deliveries.replay_one(id_of(delivery_id, NO_DELIVERY))


class ReplaysController(Controller):
    path = "/webhooks/replays"
    tags = ("Webhooks",)

    @post(
        guards=[requires(REPLAY_DELIVERIES.name)],
        operation_id="ReplayWebhookDeliveries",
        status_code=HTTP_202_ACCEPTED,
    )
    async def replay(
        self, webhook_deliveries: NamedDependency[Deliveries], data: JSONBody[Replay]
    ) -> Replayed:
        """Deliver again what a filter chooses: dead letters, one kind of event, a range of time."""
        return await webhook_deliveries.replay(data)
