"""``/auth/v1/oauth``: what applications call, and where they send browsers.

Wire source: supabase/auth, ``internal/api/oauthserver/{authorize,handlers}.go``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK, HTTP_302_FOUND

from modules.auth.controllers.bodies import takes
from modules.auth.oauth_errors import NO_STORE, InvalidClient
from modules.auth.oauth_server.authorizations import Authorizations
from modules.auth.oauth_server.client_auth import shown_by
from modules.auth.oauth_server.clients import Clients
from modules.auth.oauth_server.dtos import ClientIn, ClientView, TokenView
from modules.auth.oauth_server.forms import read_body, read_form
from modules.auth.oauth_server.introspection import Introspection
from modules.auth.oauth_server.limits import OauthLimits
from modules.auth.oauth_server.token_endpoint import TokenEndpoint
from modules.auth.origin import origin_of
from modules.auth.wire import decode
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.guards import principal_of, public
from monohull.kernel.principal import Principal


class OauthController(Controller):
    path = "/oauth"
    tags = ("OAuth server",)
    opt = public()

    @get("/authorize", status_code=HTTP_302_FOUND, operation_id="Authorize")
    async def authorize(
        self,
        request: Request[Any, Any, Any],
        oauth_authorizations: NamedDependency[Authorizations],
        oauth_limits: NamedDependency[OauthLimits],
    ) -> Response[None]:
        """Take an application's request for access, and send the browser to the page that asks the user."""
        await oauth_limits.authorize(origin_of(request))
        query = read_form(request.scope["query_string"].decode("latin-1"))
        location = await oauth_authorizations.begin(query)
        headers = {"Location": location, "Referrer-Policy": "no-referrer", **NO_STORE}
        return Response(None, status_code=HTTP_302_FOUND, headers=headers)

    @post("/token", status_code=HTTP_200_OK, operation_id="GrantOauthToken")
    async def token(
        self,
        request: Request[Any, Any, Any],
        oauth_tokens: NamedDependency[TokenEndpoint],
        oauth_limits: NamedDependency[OauthLimits],
    ) -> Response[TokenView]:
        """Exchange a code or a refresh token; form or JSON, refusals as RFC 6749 has them."""
        origin = origin_of(request)
        async with oauth_limits.token(origin):
            form = read_body(await request.body(), request.headers.get("content-type"))
            shown = shown_by(form, request.headers.get("authorization"))
            view = await oauth_tokens.grant(form, shown, origin)
        if shown.secret is None:
            await oauth_limits.count_token(origin)
        return Response(view, headers=NO_STORE)

    @post("/revoke", status_code=HTTP_200_OK, operation_id="RevokeOauthToken")
    async def revoke(
        self,
        request: Request[Any, Any, Any],
        oauth_tokens: NamedDependency[TokenEndpoint],
        oauth_limits: NamedDependency[OauthLimits],
    ) -> Response[None]:
        """End the session of a token (RFC 7009)."""
        origin = origin_of(request)
        async with oauth_limits.token(origin):
            form = read_body(await request.body(), request.headers.get("content-type"))
            shown = shown_by(form, request.headers.get("authorization"))
            await oauth_tokens.revoke(form, shown)
        if shown.secret is None:
            await oauth_limits.count_token(origin)
        return Response(None, headers=NO_STORE)

    @post("/introspect", status_code=HTTP_200_OK, operation_id="IntrospectOauthToken")
    async def introspect(
        self,
        request: Request[Any, Any, Any],
        oauth_introspection: NamedDependency[Introspection],
        oauth_limits: NamedDependency[OauthLimits],
    ) -> Response[Mapping[str, Any]]:
        """Say what a token is worth (RFC 7662): to its application, or to an API key that may ask."""
        async with oauth_limits.token(origin_of(request)):
            form = read_body(await request.body(), request.headers.get("content-type"))
            authorization = request.headers.get("authorization")
            told = await oauth_introspection.look(form, authorization, _asker(request))
        return Response(told, headers=NO_STORE)

    @post("/clients/register", operation_id="RegisterOauthClient", operation_class=takes(ClientIn))
    async def register(
        self,
        request: Request[Any, Any, Any],
        oauth_clients: NamedDependency[Clients],
        oauth_limits: NamedDependency[OauthLimits],
    ) -> Response[ClientView]:
        """Let an application register itself (RFC 7591), where that is allowed."""
        await oauth_limits.register(origin_of(request))
        view = await oauth_clients.register(decode(await request.body(), ClientIn))
        return Response(view, headers=NO_STORE)


def _asker(request: Request[Any, Any, Any]) -> Principal:
    """Return who asks by a bearer token.

    Raises:
        InvalidClient: 401, the token does not hold (RFC 7662, section 2.3).
    """
    try:
        return principal_of(request)
    except InvalidCredential as error:
        raise InvalidClient(error.message) from error
