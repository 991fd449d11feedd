"""What users answer, and what they allowed; and what their tokens tell an application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from modules.auth.controllers.bodies import takes
from modules.auth.guards import by_the_user
from modules.auth.oauth_errors import NO_STORE
from modules.auth.oauth_server.authorizations import Authorizations
from modules.auth.oauth_server.consents import Consents
from modules.auth.oauth_server.dtos import Answered, AuthorizationView, ConsentBody, GrantView
from modules.auth.wire import decode
from monohull.kernel.guards import principal_of, signed_in


class OauthUserController(Controller):
    tags = ("OAuth server",)
    guards = (signed_in,)

    @get(
        "/oauth/authorizations/{authorization_id:str}",
        guards=[by_the_user],
        operation_id="GetOauthAuthorization",
    )
    async def show(
        self,
        request: Request[Any, Any, Any],
        oauth_authorizations: NamedDependency[Authorizations],
        authorization_id: FromPath[str],
    ) -> Response[AuthorizationView | Answered]:
        """Return what an application asks of the caller, or where to go when that is allowed already."""
        shown = await oauth_authorizations.show(principal_of(request), authorization_id)
        return Response(shown, headers=NO_STORE)

    @post(
        "/oauth/authorizations/{authorization_id:str}/consent",
        status_code=HTTP_200_OK,
        guards=[by_the_user],
        operation_id="AnswerOauthAuthorization",
        operation_class=takes(ConsentBody),
    )
    async def answer(
        self,
        request: Request[Any, Any, Any],
        oauth_authorizations: NamedDependency[Authorizations],
        authorization_id: FromPath[str],
    ) -> Response[Answered]:
        """Allow or refuse what an application asks; the body's ``action`` is approve or deny."""
        body = decode(await request.body(), ConsentBody)
        answered = await oauth_authorizations.answer(principal_of(request), authorization_id, body.action)
        return Response(answered, headers=NO_STORE)

    @get("/user/oauth/grants", guards=[by_the_user], operation_id="ListOauthGrants")
    async def show_grants(
        self, request: Request[Any, Any, Any], oauth_consents: NamedDependency[Consents]
    ) -> Sequence[GrantView]:
        """Return which applications the caller allows what."""
        return await oauth_consents.list_of(principal_of(request))

    @delete(
        "/user/oauth/grants",
        status_code=HTTP_204_NO_CONTENT,
        guards=[by_the_user],
        operation_id="RevokeOauthGrant",
    )
    async def revoke_grant(
        self, request: Request[Any, Any, Any], oauth_consents: NamedDependency[Consents]
    ) -> None:
        """Allow the application ``client_id`` nothing any more; its sessions with the caller end."""
        await oauth_consents.revoke(principal_of(request), request.query_params.get("client_id"))

    @get("/oauth/userinfo", operation_id="GetUserInfo")
    async def user_info(
        self, request: Request[Any, Any, Any], oauth_consents: NamedDependency[Consents]
    ) -> Response[dict[str, Any]]:
        """Return OpenID Connect's claims about the token's user, as far as its scopes go."""
        return Response(await oauth_consents.user_info(principal_of(request)), headers=NO_STORE)

    @post("/oauth/userinfo", status_code=HTTP_200_OK, operation_id="PostUserInfo")
    async def post_user_info(
        self, request: Request[Any, Any, Any], oauth_consents: NamedDependency[Consents]
    ) -> Response[dict[str, Any]]:
        """Return the same; the standard wants both methods."""
        return Response(await oauth_consents.user_info(principal_of(request)), headers=NO_STORE)
