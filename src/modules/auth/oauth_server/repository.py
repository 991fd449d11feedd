"""Every query of the OAuth server."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from modules.auth.models import OauthAuthorization, OauthClient, OauthConsent, Session
from monohull.kernel.clock import now
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.pagination import Page


class ClientRepository(Repository[OauthClient]):
    """Applications that exist; a deleted one is found by nobody."""

    model_type = OauthClient

    async def find_alive(self, client_id: UUID) -> OauthClient | None:
        return await self.find_by(OauthClient.id == client_id, OauthClient.deleted_at.is_(None))

    async def lock(self, client_id: UUID) -> OauthClient | None:
        """Find and hold the row until the unit of work ends."""
        alive = (OauthClient.id == client_id, OauthClient.deleted_at.is_(None))
        return (await self.session.scalars(select(OauthClient).where(*alive).with_for_update())).first()

    async def list_page(self, page: Page) -> tuple[Sequence[OauthClient], int]:
        """Return a page of the applications, newest first, and how many there are."""
        alive = OauthClient.deleted_at.is_(None)
        total = await self.session.scalar(select(func.count()).select_from(OauthClient).where(alive)) or 0
        newest = (OauthClient.created_at.desc(), OauthClient.id.desc())
        statement = select(OauthClient).where(alive).order_by(*newest)
        return (await self.session.scalars(statement.limit(page.limit).offset(page.offset))).all(), total


class AuthorizationRepository(Repository[OauthAuthorization]):
    """Requests for access."""

    model_type = OauthAuthorization

    async def lock(self, authorization_id: str) -> OauthAuthorization | None:
        """Find by the id that travels, and hold the row until the unit of work ends."""
        statement = select(OauthAuthorization).where(OauthAuthorization.authorization_id == authorization_id)
        return (await self.session.scalars(statement.with_for_update())).first()

    async def lock_by_code(self, code_hash: str) -> OauthAuthorization | None:
        """Find by the hash of a code, and hold the row until the unit of work ends."""
        statement = select(OauthAuthorization).where(OauthAuthorization.authorization_code == code_hash)
        return (await self.session.scalars(statement.with_for_update())).first()

    async def purge(self, *, older_than_seconds: float) -> None:
        """Delete what is over for so long that nobody comes back with it."""
        oldest = now() - timedelta(seconds=older_than_seconds)
        await self.session.execute(delete(OauthAuthorization).where(OauthAuthorization.expires_at < oldest))


class ConsentRepository(Repository[OauthConsent]):
    """What users allow."""

    model_type = OauthConsent

    async def find_active(self, user_id: UUID, client_id: UUID) -> OauthConsent | None:
        return await self.find_by(
            OauthConsent.user_id == user_id,
            OauthConsent.client_id == client_id,
            OauthConsent.revoked_at.is_(None),
        )

    async def grant(self, user_id: UUID, client_id: UUID, scopes: str) -> None:
        """Remember ``scopes`` in place of what was allowed before."""
        fresh = {"scopes": scopes, "granted_at": now(), "revoked_at": None}
        await self.session.execute(
            insert(OauthConsent)
            .values(user_id=user_id, client_id=client_id, **fresh)
            .on_conflict_do_update(constraint="oauth_consents_user_client_unique", set_=fresh)
        )

    async def list_of(self, user_id: UUID) -> Sequence[tuple[OauthConsent, OauthClient]]:
        """Return what the user allows, and whom, latest first."""
        statement = (
            select(OauthConsent, OauthClient)
            .join(OauthClient, OauthClient.id == OauthConsent.client_id)
            .where(
                OauthConsent.user_id == user_id,
                OauthConsent.revoked_at.is_(None),
                OauthClient.deleted_at.is_(None),
            )
            .order_by(OauthConsent.granted_at.desc(), OauthConsent.id.desc())
        )
        return [(consent, client) for consent, client in await self.session.execute(statement)]

    async def revoke_all(self, client_id: UUID) -> None:
        """Forget what anybody allowed the application."""
        await self.session.execute(
            update(OauthConsent)
            .where(OauthConsent.client_id == client_id, OauthConsent.revoked_at.is_(None))
            .values(revoked_at=func.greatest(now(), OauthConsent.granted_at))
        )


async def end_sessions(work: AsyncSession, client_id: UUID, user_id: UUID | None = None) -> int:
    """End the application's sessions, of one user or of all, and the codes that would open further ones."""
    sessions = delete(Session).where(Session.oauth_client_id == client_id)
    waiting = delete(OauthAuthorization).where(OauthAuthorization.client_id == client_id)
    if user_id is not None:
        sessions = sessions.where(Session.user_id == user_id)
        waiting = waiting.where(OauthAuthorization.user_id == user_id)
    await work.execute(waiting)
    return len((await work.scalars(sessions.returning(Session.id))).all())
