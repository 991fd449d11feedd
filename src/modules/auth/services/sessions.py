"""Open a session and write what its tokens say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import Struct

from modules.auth.dtos import SessionView
from modules.auth.events import UserSignedIn
from modules.auth.hooks import Hooks, once
from modules.auth.hooks.rehearsal import ISSUED_AT
from modules.auth.models import AmrClaim, Factor, Identity, RefreshToken, Session, User
from modules.auth.repositories import (
    AmrRepository,
    RefreshTokenRepository,
    SessionRepository,
    related_to,
)
from modules.auth.settings import AuthSettings, seconds
from modules.auth.tokens import VERSION_CLAIM
from modules.auth.views import view_user
from monohull.kernel import clock, outbox
from monohull.kernel.ids import hash_token, uuid7
from monohull.kernel.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.origin import Origin
    from modules.auth.refresh_families import Chain
    from modules.auth.tokens import TokenCodec
    from monohull.kernel.grants import Grants


class Delegation(Struct, frozen=True, kw_only=True):
    """A session that belongs to an application. ``scopes`` are separated by spaces."""

    client_id: UUID
    scopes: str
    session_id: UUID


class SessionIssuer:
    """Gives sessions their tokens.

    Args:
        codec: Signs.
        chain: Makes refresh tokens.
        settings: Lifetimes.
        issuer: The ``iss`` claim, ``<public url>/auth/v1``.
        audience: The ``aud`` claim of every token, or None for the user's own.
        hooks: May change the claims.
        grants: Knows the roles that ``app_metadata`` shows, or None.
    """

    def __init__(  # noqa: PLR0913 what a token is made of
        self,
        codec: TokenCodec,
        chain: Chain,
        settings: AuthSettings,
        *,
        issuer: str,
        audience: str | None,
        hooks: Hooks | None = None,
        grants: Grants | None = None,
    ) -> None:
        self.chain = chain
        self._codec = codec
        self._settings = settings
        self._issuer = issuer
        self._audience = audience
        self.hooks = hooks or Hooks()
        self._grants = grants

    async def open(
        self,
        work: AsyncSession,
        user: User,
        *,
        method: str,
        origin: Origin,
        delegation: Delegation | None = None,
    ) -> SessionView:
        """Open a session of ``user``, who was authenticated by ``method`` just now.

        With ``delegation`` it is an application's, and ends none of the user's own.
        """
        at = clock.now()
        user.last_sign_in_at = at
        session_id = once("session", uuid7)
        session = Session(
            id=session_id, user_id=user.id, created_at=at, user_agent=origin.agent, ip=origin.ip
        )
        if delegation is not None:
            session.id, session.scopes = delegation.session_id, delegation.scopes
            session.oauth_client_id = delegation.client_id
        await SessionRepository(work).add(session)
        if self._settings.sessions_single_per_user and delegation is None:
            await SessionRepository(work).end(user.id, but=session.id)
        await AmrRepository(work).record(session.id, method)
        token = self.chain.first()
        await RefreshTokenRepository(work).add(
            RefreshToken(token=hash_token(token), user_id=user.id, session_id=session.id)
        )
        await outbox.publish(
            work,
            UserSignedIn(
                user_id=str(user.id), session_id=str(session.id), method=method, address=origin.address
            ),
            key=str(user.id),
        )
        return await self.show(work, user, session, token)

    async def show(self, work: AsyncSession, user: User, session: Session, refresh_token: str) -> SessionView:
        """Mint an access token for ``session`` and answer as the wire does."""
        related = await related_to(work, user.id)
        amr = await AmrRepository(work).list_of(session.id)
        return await self.mint(
            user, session, related.identities, amr, refresh_token, work, factors=related.factors
        )

    async def mint(  # noqa: PLR0913, PLR0917 the rows, and the transaction they are from
        self,
        user: User,
        session: Session,
        identities: Sequence[Identity],
        amr: Sequence[AmrClaim],
        refresh_token: str,
        work: AsyncSession | None = None,
        *,
        factors: Sequence[Factor] = (),
    ) -> SessionView:
        """Like `show`, from rows that were read already.

        Raises:
            SigningUnavailable: 503. HookRejected, HookTimeout, HookFailed: The hook gives no token.
        """
        await self._codec.ready()
        issued_at = once(ISSUED_AT, clock.unix_seconds)
        expires_at = self._expiry(session, issued_at)
        claims = {
            "iss": self._issuer,
            "iat": issued_at,
            "exp": expires_at,
            **self._claims(user, session, amr),
            **_delegated(session),
        }
        if self._grants is not None and session.oauth_client_id is None:
            claims["app_metadata"] = await with_roles(claims["app_metadata"], user, self._grants)
        if session.team_id is not None:
            claims["app_metadata"] = {"active_team": str(session.team_id), **claims["app_metadata"]}
        method = amr[0].authentication_method if amr else ""
        claims = await self.hooks.custom_access_token(claims, method, work)
        claims[VERSION_CLAIM] = user.claims_version  # what no hook sees, none can make newer than it is
        claims |= _delegated(session)  # again: no hook makes an application's token one of the user's own
        return SessionView(
            access_token=self._codec.sign(claims),
            token_type="bearer",
            expires_in=expires_at - issued_at,
            expires_at=expires_at,
            refresh_token=refresh_token,
            user=view_user(user, identities, factors),
        )

    def _expiry(self, session: Session, issued_at: int) -> int:
        """Return when an access token expires: no token outlives its session's time-box."""
        timebox = seconds(self._settings.sessions_timebox)
        ends = [issued_at + self._settings.jwt_exp]
        if timebox is not None:
            ends.append(int(session.created_at.timestamp() + timebox))
        if session.not_after is not None:
            ends.append(int(session.not_after.timestamp()))
        return max(min(ends), issued_at + 1)

    def _claims(self, user: User, session: Session, amr: Sequence[AmrClaim]) -> Mapping[str, Any]:
        return {
            "sub": str(user.id),
            "aud": self._audience or user.aud or "authenticated",
            "role": user.role or "authenticated",
            "email": user.email or "",
            "phone": user.phone or "",
            "app_metadata": user.raw_app_meta_data or {},
            "user_metadata": user.raw_user_meta_data or {},
            "aal": session.aal or "aal1",
            "amr": [
                {"method": claim.authentication_method, "timestamp": int(claim.updated_at.timestamp())}
                for claim in amr
            ],
            "session_id": str(session.id),
            "is_anonymous": user.is_anonymous,
        }


def _delegated(session: Session) -> dict[str, str]:
    """Return what tokens of an application's session say of it."""
    if session.oauth_client_id is None:
        return {}
    return {"client_id": str(session.oauth_client_id), "scope": session.scopes or ""}


async def with_roles(metadata: dict[str, Any], user: User, grants: Grants) -> dict[str, Any]:
    """Return ``app_metadata`` with the roles that ``user`` has, and the version at which that held.

    It is for clients to show: who asks is looked at anew with each request. Roles
    that an application keeps there itself stay.

    Raises:
        Unavailable: 503, nobody can say.
    """
    held = await grants.granted(
        Principal(kind=PrincipalKind.USER, role=user.role or "authenticated", subject=str(user.id))
    )
    own = metadata.get("roles", [])
    if not held.roles or not isinstance(own, list):
        return metadata
    roles = [*own, *(role for role in held.roles if role not in own)]
    return {**metadata, "roles": roles, "roles_version": held.version}


def session_of(claims: Mapping[str, Any]) -> UUID | None:
    """Return the session that a token's claims name; None for tokens that belong to none."""
    value = claims.get("session_id")
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
