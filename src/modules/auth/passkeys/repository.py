"""Every query of passkeys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from modules.auth.models import Passkey, PasskeyChallenge
from monohull.kernel.clock import now
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class PasskeyRepository(Repository[Passkey]):
    """Keys that open sessions."""

    model_type = Passkey

    async def list_of(self, user_id: UUID) -> Sequence[Passkey]:
        """Return the user's passkeys, oldest first."""
        return await self.list_by(user_id=user_id, order_by=[Passkey.created_at, Passkey.id])

    async def find_of(self, user_id: UUID, passkey_id: UUID) -> Passkey | None:
        """Find a passkey; one of somebody else is not found."""
        return await self.find_by(Passkey.id == passkey_id, Passkey.user_id == user_id)

    async def find_owner(self, credential_id: bytes) -> UUID | None:
        """Return whose key this is."""
        statement = select(Passkey.user_id).where(Passkey.credential_id == credential_id)
        return (await self.session.scalars(statement)).first()

    async def lock(self, credential_id: bytes) -> Passkey | None:
        """Find a passkey by the id of its key, and hold the row: its counter is compared and set."""
        statement = select(Passkey).where(Passkey.credential_id == credential_id).with_for_update()
        return (await self.session.scalars(statement)).first()

    async def count_of(self, user_id: UUID) -> int:
        """Return how many passkeys the user has."""
        statement = select(func.count()).select_from(Passkey).where(Passkey.user_id == user_id)
        return await self.session.scalar(statement) or 0


class PasskeyChallengeRepository(Repository[PasskeyChallenge]):
    """What keys were asked to sign."""

    model_type = PasskeyChallenge

    async def take(self, challenge_id: UUID, kind: str, user_id: UUID | None) -> PasskeyChallenge | None:
        """Find a challenge and delete it, so that nobody answers it again."""
        owner = PasskeyChallenge.user_id.is_(None) if user_id is None else PasskeyChallenge.user_id == user_id
        statement = (
            delete(PasskeyChallenge)
            .where(PasskeyChallenge.id == challenge_id, PasskeyChallenge.challenge_type == kind, owner)
            .returning(PasskeyChallenge)
        )
        return (await self.session.scalars(statement)).first()

    async def purge(self) -> None:
        """Delete what came to nothing."""
        await self.session.execute(delete(PasskeyChallenge).where(PasskeyChallenge.expires_at < now()))
