"""``POST /oauth/introspect``: what a token is worth at this moment.

Who asks: an application about its own tokens, which proves itself by its secret;
or a server of the project that is handed tokens of any application, by an API
key that may. Everything else about a token is that it is not active: whether it
expired, was revoked, never was, or is another application's is told to nobody.

Sources: RFC 7662; RFC 9700, section 2.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modules.auth.authenticator import ID_TOKEN
from modules.auth.oauth_errors import InvalidClient, OauthInvalidRequest
from modules.auth.oauth_server.client_auth import authenticate, shown_by
from modules.auth.permissions import INTROSPECT_TOKENS
from modules.auth.repositories import RefreshTokenRepository, SessionRepository, UserRepository
from modules.auth.services.sessions import session_of
from monohull.kernel import clock
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.ids import hash_token
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.models import RefreshToken, Session
    from modules.auth.services.refresh_grant import Refresh
    from modules.auth.tokens import TokenCodec
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

AUTH_METHODS: Final = ("client_secret_basic", "client_secret_post", "Bearer")
"""How the metadata name what proves the caller."""

INACTIVE: Final[Mapping[str, Any]] = {"active": False}

_TOLD: Final = ("iss", "sub", "aud", "exp", "iat", "session_id")
"""Claims of an access token that the answer repeats."""


class Introspection:
    """Looks at tokens.

    Args:
        database: Knows which sessions are alive.
        codec: Verifies access tokens.
        refresh: Knows which sessions can still be renewed.
        issuer: The ``iss`` of our tokens.
    """

    def __init__(self, database: Database, codec: TokenCodec, refresh: Refresh, *, issuer: str) -> None:
        self._database = database
        self._refresh = refresh
        self._codec = codec
        self._issuer = issuer

    async def look(
        self, form: Mapping[str, str], authorization: str | None, principal: Principal
    ) -> Mapping[str, Any]:
        """Return what ``token`` of the form is worth.

        Raises:
            InvalidClient: 401. OauthInvalidRequest: 400, no token.
        """
        async with self._database.unit_of_work() as work:
            client_id = None if _may_see_all(principal) else await _asking(work, form, authorization)
            token = form.get("token")
            if token is None:
                raise OauthInvalidRequest("token is required")
            row = await RefreshTokenRepository(work).find_by_hash(hash_token(token))
            if row is not None:
                session = await self._of_refresh_token(work, row)
                told: Mapping[str, Any] = {"iss": self._issuer}
            else:
                session, told = await self._of_access_token(work, token)
            if session is None or not await _is_alive(work, session):
                return INACTIVE
        if client_id is not None and session.oauth_client_id != client_id:
            return INACTIVE
        return {"active": True, **told, "sub": str(session.user_id), **_delegated(session)}

    async def _of_refresh_token(self, work: AsyncSession, row: RefreshToken) -> Session | None:
        """Return the session that a refresh token could renew now."""
        session = None if row.revoked else await SessionRepository(work).find_by_id(row.session_id)
        return None if session is None or self._refresh.expiry(session) is not None else session

    async def _of_access_token(
        self, work: AsyncSession, token: str
    ) -> tuple[Session | None, Mapping[str, Any]]:
        """Return the session of an access token, and what the token says."""
        try:
            claims = (await self._codec.verified_by_any(token)).claims
        except InvalidCredential:
            return None, {}
        session_id = session_of(claims)
        if session_id is None or ID_TOKEN.items() <= claims.items() or claims.get("iss") != self._issuer:
            return None, {}
        session = await SessionRepository(work).find_by_id(session_id)
        if session is None or claims.get("sub") != str(session.user_id):
            return None, {}
        told: dict[str, Any] = {name: claims[name] for name in _TOLD if name in claims}
        return session, {"token_type": "bearer", **told}


def _may_see_all(principal: Principal) -> bool:
    """Say whether an API key asks that may look at anybody's tokens; an application's token never may."""
    return "client_id" not in principal.claims and grants(principal.permissions, INTROSPECT_TOKENS.name)


async def _asking(work: AsyncSession, form: Mapping[str, str], authorization: str | None) -> UUID:
    shown = shown_by(form, authorization)
    client = await authenticate(work, shown)
    if shown.secret is None:  # what proves nothing may not try tokens out
        raise InvalidClient("An application without a secret cannot look at tokens")
    return client.id


async def _is_alive(work: AsyncSession, session: Session) -> bool:
    if session.not_after is not None and session.not_after <= clock.now():
        return False
    user = await UserRepository(work).find_alive(session.user_id)
    return user is not None and not user.is_banned


def _delegated(session: Session) -> dict[str, str]:
    if session.oauth_client_id is None:
        return {}
    return {"client_id": str(session.oauth_client_id), "scope": session.scopes or ""}
