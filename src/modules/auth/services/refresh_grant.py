"""``grant_type=refresh_token``: rotate, answer retries, notice thieves.

Source: supabase/auth, ``internal/tokens/service.go: RefreshTokenGrant``. It
differs in one thing: a retry within the reuse interval gets the token that is
alive, where GoTrue mints a second branch.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from modules.auth.errors import (
    AuthProblem,
    RefreshTokenAlreadyUsed,
    RefreshTokenNotFound,
    RefreshTokenRequired,
    SessionExpired,
    UserBanned,
)
from modules.auth.events import TokenRefreshed, TokenReuseDetected
from modules.auth.refresh_rotation import Lifetimes, rotate
from modules.auth.repositories import RefreshTokenRepository, SessionRepository, UserRepository
from modules.auth.settings import AuthSettings, seconds
from monohull.kernel import clock, outbox
from monohull.kernel.errors import Unavailable
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import SessionView
    from modules.auth.models import RefreshToken, Session
    from modules.auth.origin import Origin
    from modules.auth.services.sessions import SessionIssuer
    from monohull.kernel.database.engine import Database

TRIES: Final = 3


class Refresh:
    """Renews sessions."""

    def __init__(self, database: Database, issuer: SessionIssuer, settings: AuthSettings) -> None:
        self._database = database
        self._issuer = issuer
        self._settings = settings
        self._lifetimes = Lifetimes(
            timebox=seconds(settings.sessions_timebox),
            inactivity=seconds(settings.sessions_inactivity_timeout),
        )

    async def renew(self, token: str | None, origin: Origin, *, client_id: UUID | None = None) -> SessionView:
        """Exchange ``token`` for an access token and the token that follows it.

        ``client_id`` names the application that asks; its sessions and no others are renewed by it.

        Raises:
            AuthProblem: 400: RefreshTokenRequired, RefreshTokenNotFound, RefreshTokenAlreadyUsed,
                SessionExpired or UserBanned.
        """
        if not token:
            raise RefreshTokenRequired
        following = self._issuer.chain.following(token)
        for _ in range(TRIES):
            renewed = await rotate(self._database, token, following, origin, self._lifetimes, client_id)
            if renewed is not None:
                return await self._issuer.mint(
                    renewed.user,
                    renewed.session,
                    renewed.identities,
                    renewed.amr,
                    following,
                    factors=renewed.factors,
                )
            outcome = await self._issuer.hooks.transact(
                self._database, lambda work: self._decide(work, token, origin, client_id)
            )
            if isinstance(outcome, AuthProblem):
                raise outcome  # after the commit: revoking a family is part of refusing
            if outcome is not None:
                return outcome
        raise Unavailable("This session is changing too fast; repeat the request.")

    async def _decide(
        self, work: AsyncSession, token: str, origin: Origin, client_id: UUID | None
    ) -> SessionView | AuthProblem | None:
        """Say why a token could not be rotated, or None when by now it can."""
        tokens = RefreshTokenRepository(work)
        found = await tokens.find_by_hash(hash_token(token))
        session = await SessionRepository(work).lock(found.session_id) if found else None
        row = await tokens.find_by_hash(hash_token(token)) if session else None
        user = await UserRepository(work).find_alive(row.user_id) if row else None
        if session is None or row is None or user is None or session.oauth_client_id != client_id:
            return RefreshTokenNotFound()
        if user.is_banned:
            return UserBanned()
        if (expired := self.expiry(session)) is not None:
            return expired
        if not row.revoked:  # whatever stood in the way is over, a ban that was lifted for example
            return None
        following = await self._reuse(work, token, row, session, origin)
        if isinstance(following, AuthProblem):
            return following
        session.refreshed_at = clock.now()
        session.user_agent, session.ip = origin.agent, origin.ip
        await outbox.publish(
            work, TokenRefreshed(user_id=str(user.id), session_id=str(session.id)), key=str(user.id)
        )
        return await self._issuer.show(work, user, session, following)

    def expiry(self, session: Session) -> AuthProblem | None:
        """Return why a session cannot be renewed any more; None while it can."""
        at = clock.now()
        ends = [session.not_after, _after(session.created_at, self._settings.sessions_timebox)]
        if any(end is not None and end <= at for end in ends):
            return SessionExpired()
        last_seen = session.refreshed_at or session.created_at
        idle_until = _after(last_seen, self._settings.sessions_inactivity_timeout)
        if idle_until is not None and idle_until <= at:
            return SessionExpired("Invalid Refresh Token: Session Expired (Inactivity)")
        return None

    async def _reuse(
        self, work: AsyncSession, token: str, row: RefreshToken, session: Session, origin: Origin
    ) -> str | AuthProblem:
        """Answer a token that was rotated already: a retry, or somebody else."""
        tokens = RefreshTokenRepository(work)
        active = await tokens.find_active(session.id)
        if active is None:
            return RefreshTokenAlreadyUsed()
        is_retry = row.updated_at + self._interval >= clock.now()
        if active.parent == row.token or is_retry:
            for following in self._issuer.chain.successors(token):
                if hash_token(following) == active.token:
                    return following
        if self._settings.security_refresh_token_rotation_enabled:
            await tokens.revoke_family(session.id)
            await outbox.publish(
                work,
                TokenReuseDetected(
                    user_id=str(row.user_id), session_id=str(session.id), address=origin.address
                ),
                key=str(row.user_id),
            )
        return RefreshTokenAlreadyUsed()

    @property
    def _interval(self) -> timedelta:
        return timedelta(seconds=self._settings.security_refresh_token_reuse_interval)


def _after(start: datetime, duration: str | None) -> datetime | None:
    span = seconds(duration)
    return None if span is None else start + timedelta(seconds=span)
