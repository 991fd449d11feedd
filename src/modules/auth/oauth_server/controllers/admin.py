"""``/auth/v1/admin/oauth/clients``: applications by who keeps them."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from modules.auth.controllers.admin import administrator, page_headers, page_of
from modules.auth.controllers.bodies import takes
from modules.auth.oauth_errors import NO_STORE
from modules.auth.oauth_server.clients import Clients
from modules.auth.oauth_server.dtos import ClientIn, ClientPatch, ClientView
from modules.auth.wire import decode


class OauthClientsController(Controller):
    path = "/admin/oauth/clients"
    tags = ("Auth administration",)
    guards = (administrator,)

    @get(operation_id="ListOauthClients")
    async def show_all(
        self, request: Request[Any, Any, Any], oauth_clients: NamedDependency[Clients]
    ) -> Response[dict[str, Any]]:
        """Return a page of the applications, newest first."""
        page = page_of(request)
        clients, total = await oauth_clients.list_page(page)
        headers = page_headers("/admin/oauth/clients", page, total)
        return Response({"clients": clients, "aud": "authenticated"}, headers=headers)

    @post(operation_id="CreateOauthClient", operation_class=takes(ClientIn))
    async def create(
        self, request: Request[Any, Any, Any], oauth_clients: NamedDependency[Clients]
    ) -> Response[ClientView]:
        """Add an application; a secret is shown this once."""
        view = await oauth_clients.create(decode(await request.body(), ClientIn))
        return Response(view, headers=NO_STORE)

    @get("/{client_id:str}", operation_id="GetOauthClient")
    async def show(self, oauth_clients: NamedDependency[Clients], client_id: FromPath[str]) -> ClientView:
        """Return an application."""
        return await oauth_clients.show(client_id)

    @put("/{client_id:str}", operation_id="UpdateOauthClient", operation_class=takes(ClientPatch))
    async def update(
        self,
        request: Request[Any, Any, Any],
        oauth_clients: NamedDependency[Clients],
        client_id: FromPath[str],
    ) -> ClientView:
        """Change an application; what is left out stays."""
        return await oauth_clients.update(client_id, decode(await request.body(), ClientPatch))

    @delete("/{client_id:str}", status_code=HTTP_204_NO_CONTENT, operation_id="DeleteOauthClient")
    async def remove(self, oauth_clients: NamedDependency[Clients], client_id: FromPath[str]) -> None:
        """End an application and every session of it."""
        await oauth_clients.delete(client_id)

    @post(
        "/{client_id:str}/regenerate_secret",
        status_code=HTTP_200_OK,
        operation_id="RegenerateOauthClientSecret",
    )
    async def regenerate(
        self, oauth_clients: NamedDependency[Clients], client_id: FromPath[str]
    ) -> Response[ClientView]:
        """Give an application another secret, shown this once."""
        return Response(await oauth_clients.regenerate_secret(client_id), headers=NO_STORE)
