"""``/platform/v1/webhooks/endpoints``."""

from __future__ import annotations

from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED

from modules.webhooks.controllers.pages import id_cursor, limit_of
from modules.webhooks.dtos import (
    CreatedEndpoint,
    CreateEndpoint,
    DeliveryView,
    EndpointPage,
    EndpointPatch,
    EndpointView,
)
from modules.webhooks.permissions import READ_ENDPOINTS, WRITE_ENDPOINTS
from modules.webhooks.services import Deliveries, Endpoints
from modules.webhooks.services.rules import NO_ENDPOINT
from monohull.kernel.guards import requires
from monohull.kernel.pages import id_of
from monohull.kernel.principal import Principal


class EndpointsController(Controller):
    path = "/webhooks/endpoints"
    tags = ("Webhooks",)

    @get(guards=[requires(READ_ENDPOINTS.name)], operation_id="ListWebhookEndpoints")
    async def show(
        self,
        webhook_endpoints: NamedDependency[Endpoints],
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> EndpointPage:
        """List endpoints, the oldest first; ``next`` of a page is the ``cursor`` of the following one."""
        found = await webhook_endpoints.page(limit_of(limit) + 1, id_cursor(cursor))
        shown = tuple(found[:limit])
        return EndpointPage(endpoints=shown, next=str(shown[-1].id) if len(found) > limit else None)

    @post(guards=[requires(WRITE_ENDPOINTS.name)], operation_id="CreateWebhookEndpoint")
    async def create(
        self,
        webhook_endpoints: NamedDependency[Endpoints],
        principal: NamedDependency[Principal],
        data: JSONBody[CreateEndpoint],
    ) -> CreatedEndpoint:
        """Make an endpoint for what happens from now on; its secret is in this answer alone."""
        return await webhook_endpoints.create(data, principal)

    @get("/{endpoint_id:str}", guards=[requires(READ_ENDPOINTS.name)], operation_id="GetWebhookEndpoint")
    async def one(
        self, webhook_endpoints: NamedDependency[Endpoints], endpoint_id: FromPath[str]
    ) -> EndpointView:
        """Show an endpoint and how its circuit breaker stands."""
        return await webhook_endpoints.get(id_of(endpoint_id, NO_ENDPOINT))

    @patch(
        "/{endpoint_id:str}", guards=[requires(WRITE_ENDPOINTS.name)], operation_id="UpdateWebhookEndpoint"
    )
    async def change(
        self,
        webhook_endpoints: NamedDependency[Endpoints],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[str],
        data: JSONBody[EndpointPatch],
    ) -> EndpointView:
        """Change an endpoint. Disabling gives up what waits; those deliveries can be replayed later."""
        return await webhook_endpoints.change(id_of(endpoint_id, NO_ENDPOINT), data, principal)

    @delete(
        "/{endpoint_id:str}", guards=[requires(WRITE_ENDPOINTS.name)], operation_id="DeleteWebhookEndpoint"
    )
    async def end(self, webhook_endpoints: NamedDependency[Endpoints], endpoint_id: FromPath[str]) -> None:
        """Delete an endpoint with its deliveries and their log."""
        await webhook_endpoints.delete(id_of(endpoint_id, NO_ENDPOINT))

    @post(
        "/{endpoint_id:str}/test",
        guards=[requires(WRITE_ENDPOINTS.name)],
        operation_id="TestWebhookEndpoint",
        status_code=HTTP_202_ACCEPTED,
    )
    async def test(
        self, webhook_deliveries: NamedDependency[Deliveries], endpoint_id: FromPath[str]
    ) -> DeliveryView:
        """Send the event ``webhooks.test``; what came of it is in the delivery."""
        return await webhook_deliveries.test(id_of(endpoint_id, NO_ENDPOINT))
