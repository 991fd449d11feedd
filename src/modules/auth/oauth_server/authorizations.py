"""A request for access, from the application's first word to the user's answer.

Source: supabase/auth, ``internal/api/oauthserver/authorize.go``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.auth.errors import ValidationFailed
from modules.auth.models import OauthAuthorization
from modules.auth.oauth_errors import AuthorizationNotFound, UnknownOauthClient
from modules.auth.oauth_events import OauthConsentDenied, OauthConsentGranted
from modules.auth.oauth_server.client_rules import split_scope
from modules.auth.oauth_server.dtos import Answered, ApplicationView, AskedUser, AuthorizationView
from modules.auth.oauth_server.repository import (
    AuthorizationRepository,
    ClientRepository,
    ConsentRepository,
)
from modules.auth.oauth_server.requests import (
    Refused,
    answer_url,
    client_id_of,
    read_request,
    redirect_uri_of,
)
from modules.auth.redirects import with_query
from modules.auth.services.account import bearer_of
from modules.auth.settings import seconds
from monohull.kernel import clock, ids, outbox
from monohull.kernel.ids import hash_token, uuid7

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.models import OauthClient, User
    from modules.auth.oauth_server.id_tokens import IdTokens
    from modules.auth.settings import AuthSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

CODE_SECONDS: Final = 60
"""How long an application has to exchange its code."""

ACTIONS: Final = ("approve", "deny")


class Place(Struct, frozen=True):
    """Where this server is: the ``iss`` of its tokens, and the application whose page asks for consent."""

    issuer: str
    site_url: str


class Authorizations:
    """Puts requests before users."""

    def __init__(self, database: Database, settings: AuthSettings, id_tokens: IdTokens, place: Place) -> None:
        self._database = database
        self._id_tokens = id_tokens
        self._place = place
        self._default_scope = settings.oauth_server_default_scope
        self._page = place.site_url.rstrip("/") + settings.oauth_server_authorization_path
        ttl = seconds(settings.oauth_server_authorization_ttl) or 0.0
        self._lifetime = timedelta(seconds=max(1.0, ttl))

    async def begin(self, query: Mapping[str, str]) -> str:
        """Take a request, and return where to send the browser: to the page that asks, or back.

        Raises:
            ValidationFailed, UnknownOauthClient: 400, nobody can be told.
        """
        async with self._database.unit_of_work() as work:
            client = await ClientRepository(work).find_alive(client_id_of(query))
            if client is None:
                raise UnknownOauthClient
            redirect_uri = redirect_uri_of(client, query)
            try:
                asked = read_request(
                    client,
                    redirect_uri,
                    query,
                    default_scope=self._default_scope,
                    has_openid=self._id_tokens.is_possible,
                )
            except Refused as refused:
                return self._back(redirect_uri, query.get("state"), _told(refused))
            at = clock.now()
            authorization_id = ids.token()
            await AuthorizationRepository(work).add(
                OauthAuthorization(
                    id=uuid7(),
                    authorization_id=authorization_id,
                    client_id=client.id,
                    redirect_uri=redirect_uri,
                    scope=asked.scope,
                    state=asked.state,
                    nonce=asked.nonce,
                    resource=asked.resource,
                    code_challenge=asked.code_challenge,
                    code_challenge_method="s256",
                    created_at=at,
                    expires_at=at + self._lifetime,
                )
            )
        return with_query(self._page, {"authorization_id": authorization_id})

    async def show(self, principal: Principal, authorization_id: str) -> AuthorizationView | Answered:
        """Return what the caller is asked, or where to go when they answered that long ago.

        Raises:
            AuthorizationNotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
            waiting, client = await self._waiting(work, user, authorization_id)
            consent = await ConsentRepository(work).find_active(user.id, client.id)
            if consent is not None and set(split_scope(waiting.scope)) <= set(split_scope(consent.scopes)):
                return self._approve(waiting)
            return AuthorizationView(
                authorization_id=authorization_id,
                redirect_uri=waiting.redirect_uri,
                client=view_application(client),
                user=AskedUser(id=user.id, email=user.email or ""),
                scope=waiting.scope,
            )

    async def answer(self, principal: Principal, authorization_id: str, action: str | None) -> Answered:
        """Take the caller's answer, ``approve`` or ``deny``, and return where to go.

        Raises:
            ValidationFailed: 400, another answer. AuthorizationNotFound: 404.
        """
        if action not in ACTIONS:
            raise ValidationFailed("action must be approve or deny")
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
            waiting, client = await self._waiting(work, user, authorization_id)
            key = str(user.id)
            if action == "deny":
                waiting.status = "denied"
                await outbox.publish(work, OauthConsentDenied(user_id=key, client_id=str(client.id)), key=key)
                values = {"error": "access_denied", "error_description": "The user denied the request"}
                return Answered(self._back(waiting.redirect_uri, waiting.state, values))
            consent = await ConsentRepository(work).find_active(user.id, client.id)
            before = split_scope(consent.scopes) if consent is not None else []
            scopes = tuple(dict.fromkeys([*before, *split_scope(waiting.scope)]))
            await ConsentRepository(work).grant(user.id, client.id, " ".join(scopes))
            event = OauthConsentGranted(user_id=key, client_id=str(client.id), scopes=scopes)
            await outbox.publish(work, event, key=key)
            return self._approve(waiting)

    async def _waiting(
        self, work: AsyncSession, user: User, authorization_id: str
    ) -> tuple[OauthAuthorization, OauthClient]:
        """Find what waits for ``user``; the first who looks at a request is the one it is for."""
        found = await AuthorizationRepository(work).lock(authorization_id.replace("\0", ""))
        if (
            found is None
            or found.status != "pending"
            or found.expires_at <= clock.now()
            or found.user_id not in (None, user.id)
        ):
            raise AuthorizationNotFound
        client = await ClientRepository(work).find_alive(found.client_id)
        if client is None:
            raise AuthorizationNotFound
        found.user_id = user.id
        return found, client

    def _approve(self, waiting: OauthAuthorization) -> Answered:
        code = ids.token()
        waiting.status = "approved"
        waiting.approved_at = clock.now()
        waiting.expires_at = clock.now() + timedelta(seconds=CODE_SECONDS)
        waiting.authorization_code = hash_token(code)
        return Answered(self._back(waiting.redirect_uri, waiting.state, {"code": code}))

    def _back(self, redirect_uri: str, state: str | None, values: Mapping[str, str]) -> str:
        return answer_url(redirect_uri, self._place.issuer, state, values)


def view_application(client: OauthClient) -> ApplicationView:
    """Show an application to a user."""
    return ApplicationView(
        id=client.id,
        name=client.client_name or "",
        uri=client.client_uri or "",
        logo_uri=client.logo_uri or "",
    )


def _told(refused: Refused) -> Mapping[str, str]:
    return {"error": refused.error, "error_description": refused.description}
