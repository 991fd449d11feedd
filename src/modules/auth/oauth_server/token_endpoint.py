"""``POST /oauth/token`` and ``/oauth/revoke``: codes become sessions, sessions go on, and end.

The session that a code opens has the id of the request it came from. So a code
that comes a second time names the session to end, and nothing has to be kept
for that but the request itself.

Sources: RFC 6749, sections 4.1.3, 5 and 6; RFC 7009; draft-ietf-oauth-v2-1, section 4.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.errors import AuthProblem
from modules.auth.events import UserSignedOut
from modules.auth.oauth_errors import (
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    OauthInvalidRequest,
    OauthRefusal,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from modules.auth.oauth_events import OauthCodeReused
from modules.auth.oauth_server.client_auth import authenticate
from modules.auth.oauth_server.client_rules import GRANT_TYPES, split_scope
from modules.auth.oauth_server.dtos import TokenView
from modules.auth.oauth_server.id_tokens import OPENID
from modules.auth.oauth_server.repository import AuthorizationRepository
from modules.auth.repositories import RefreshTokenRepository, SessionRepository, UserRepository
from modules.auth.services.pkce import CodeChallenge
from modules.auth.services.sessions import Delegation, session_of
from monohull.kernel import clock, outbox
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import SessionView
    from modules.auth.models import OauthAuthorization, OauthClient, Session, User
    from modules.auth.oauth_server.client_auth import Shown
    from modules.auth.oauth_server.id_tokens import IdTokens
    from modules.auth.origin import Origin
    from modules.auth.services import Refresh, SessionIssuer
    from modules.auth.tokens import TokenCodec
    from monohull.kernel.database.engine import Database

METHOD = "oauth_provider/authorization_code"
"""The ``amr`` of sessions that belong to an application."""

NO_CODE = "The authorization code is invalid, expired or was used"
NO_TOKEN = "The refresh token is invalid, expired or was revoked"


class TokenEndpoint:
    """Answers applications."""

    def __init__(
        self,
        database: Database,
        issuer: SessionIssuer,
        refresh: Refresh,
        codec: TokenCodec,
        id_tokens: IdTokens,
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._refresh = refresh
        self._codec = codec
        self._id_tokens = id_tokens

    async def grant(self, form: Mapping[str, str], shown: Shown, origin: Origin) -> TokenView:
        """Exchange a code or a refresh token.

        Raises:
            InvalidClient: 401. OauthRefusal: 400, as RFC 6749 names them.
        """
        grant_type = form.get("grant_type")
        if grant_type is None:
            raise OauthInvalidRequest("grant_type is required")
        if grant_type not in GRANT_TYPES:
            raise UnsupportedGrantType("grant_type must be one of " + ", ".join(GRANT_TYPES))
        async with self._database.unit_of_work() as work:
            client = await authenticate(work, shown)
        if grant_type not in client.grant_types.split(","):
            raise UnauthorizedClient(f"The client was not registered for {grant_type}")
        if grant_type == "authorization_code":
            return await self._exchange(form, client, origin)
        return await self._renew(form, client, origin)

    async def revoke(self, form: Mapping[str, str], shown: Shown) -> None:
        """End the session of a token that the application holds; any other token changes nothing.

        Raises:
            InvalidClient: 401. OauthInvalidRequest: 400, no token.
        """
        token = form.get("token")
        async with self._database.unit_of_work() as work:
            client = await authenticate(work, shown)
            if token is None:
                raise OauthInvalidRequest("token is required")
            session = await self._session_of(work, token)
            if session is None or session.oauth_client_id != client.id:
                return
            ended = await SessionRepository(work).end(session.user_id, only=session.id)
            key = str(session.user_id)
            await outbox.publish(work, UserSignedOut(user_id=key, scope="session", sessions=ended), key=key)

    async def _exchange(self, form: Mapping[str, str], client: OauthClient, origin: Origin) -> TokenView:
        for name in ("code", "code_verifier", "redirect_uri"):
            if name not in form:
                raise OauthInvalidRequest(f"{name} is required")

        async def exchange(work: AsyncSession) -> TokenView | OauthRefusal:
            found = await AuthorizationRepository(work).lock_by_code(hash_token(form["code"]))
            if found is None or found.client_id != client.id or found.user_id is None:
                raise InvalidGrant(NO_CODE)
            if found.status != "approved":
                await self._end_reused(work, found, found.user_id, origin)
                return InvalidGrant(NO_CODE)
            return await self._open(work, found, form, client, origin)

        answer = await self._issuer.hooks.transact(self._database, exchange)
        if isinstance(answer, OauthRefusal):
            raise answer  # after the commit: ending what the code opened is part of refusing
        return answer

    async def _open(
        self,
        work: AsyncSession,
        found: OauthAuthorization,
        form: Mapping[str, str],
        client: OauthClient,
        origin: Origin,
    ) -> TokenView:
        _check_exchange(found, form)
        user = await UserRepository(work).lock(found.user_id) if found.user_id else None
        if user is None or user.is_banned:
            raise InvalidGrant("The user may not sign in")
        found.status = "expired"
        delegation = Delegation(client_id=client.id, scopes=found.scope, session_id=found.id)
        opened = await self._issuer.open(work, user, method=METHOD, origin=origin, delegation=delegation)
        return self._view(opened, user, client, found.scope, found.nonce)

    @staticmethod
    async def _end_reused(
        work: AsyncSession, found: OauthAuthorization, user_id: UUID, origin: Origin
    ) -> None:
        if await SessionRepository(work).end(user_id, only=found.id):
            event = OauthCodeReused(
                user_id=str(user_id), client_id=str(found.client_id), address=origin.address
            )
            await outbox.publish(work, event, key=str(user_id))

    async def _renew(self, form: Mapping[str, str], client: OauthClient, origin: Origin) -> TokenView:
        token = form.get("refresh_token")
        if token is None:
            raise OauthInvalidRequest("refresh_token is required")
        async with self._database.unit_of_work() as work:
            row = await RefreshTokenRepository(work).find_by_hash(hash_token(token))
            session = await SessionRepository(work).find_by_id(row.session_id) if row else None
            user = await UserRepository(work).find_alive(session.user_id) if session else None
        if session is None or user is None or session.oauth_client_id != client.id:
            raise InvalidGrant(NO_TOKEN)
        scope = session.scopes or ""
        if "scope" in form and set(split_scope(form["scope"])) != set(split_scope(scope)):
            raise InvalidScope("scope cannot be changed by a refresh; leave it out")
        try:
            renewed = await self._refresh.renew(token, origin, client_id=client.id)
        except AuthProblem as problem:
            if problem.status >= 500:  # noqa: PLR2004 ours, and to be repeated
                raise
            raise InvalidGrant(problem.message) from problem
        return self._view(renewed, user, client, scope, None)

    def _view(
        self, opened: SessionView, user: User, client: OauthClient, scope: str, nonce: str | None
    ) -> TokenView:
        scopes = split_scope(scope)
        id_token = (
            self._id_tokens.sign(user, client.id, scopes, opened.access_token, nonce)
            if OPENID in scopes and self._id_tokens.is_possible
            else None
        )
        return TokenView(
            access_token=opened.access_token,
            token_type=opened.token_type,
            expires_in=opened.expires_in,
            refresh_token=opened.refresh_token if "refresh_token" in client.grant_types.split(",") else None,
            scope=scope,
            id_token=id_token,
        )

    async def _session_of(self, work: AsyncSession, token: str) -> Session | None:
        """Find the session of a refresh token or an access token."""
        sessions = SessionRepository(work)
        row = await RefreshTokenRepository(work).find_by_hash(hash_token(token))
        if row is not None:
            return await sessions.find_by_id(row.session_id)
        try:
            session_id = session_of((await self._codec.verified_by_any(token)).claims)
        except InvalidCredential:
            return None
        return await sessions.find_by_id(session_id) if session_id is not None else None


def _check_exchange(found: OauthAuthorization, form: Mapping[str, str]) -> None:
    if found.expires_at <= clock.now():
        raise InvalidGrant(NO_CODE)
    if form["redirect_uri"] != found.redirect_uri:
        raise InvalidGrant("redirect_uri is not the one of the authorization request")
    if form.get("resource", found.resource) != found.resource:
        raise InvalidTarget("resource is not the one of the authorization request")
    challenge = CodeChallenge(found.code_challenge or "", found.code_challenge_method or "s256")
    if not challenge.fits(form["code_verifier"]):
        raise InvalidGrant("code_verifier does not fit the code_challenge")
