"""Second factors, what was asked of them, and the codes that stand in for a lost one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, func, or_, select, update

from modules.auth.models import AmrClaim, Challenge, Factor, RecoveryCode, Session
from monohull.kernel.clock import now
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID


class FactorRepository(Repository[Factor]):
    """Second factors."""

    model_type = Factor

    async def has_verified(self, user_id: UUID) -> bool:
        """Say whether the user has a second factor in use."""
        return bool(await self.list_by(user_id=user_id, status="verified", limit=1))

    async def list_of(self, user_id: UUID) -> Sequence[Factor]:
        """Return the user's factors, oldest first."""
        return await self.list_by(user_id=user_id, order_by=[Factor.created_at, Factor.id])

    async def find_of(self, user_id: UUID, factor_id: UUID) -> Factor | None:
        """Find a factor as it is now; one of somebody else is not found."""
        statement = select(Factor).where(Factor.id == factor_id, Factor.user_id == user_id)
        return (await self.session.scalars(statement.execution_options(populate_existing=True))).first()

    async def delete_stale(self, user_id: UUID, *, older_than_seconds: float) -> None:
        """Delete factors of the user that never saw a right code and are too old for one."""
        await self.session.execute(
            delete(Factor).where(
                Factor.user_id == user_id,
                Factor.status == "unverified",
                Factor.created_at < now() - timedelta(seconds=older_than_seconds),
            )
        )

    async def delete_unverified(self, user_id: UUID, *, factor_type: str, but: UUID) -> None:
        """Delete the user's other factors of this type that never saw a right code."""
        await self.session.execute(
            delete(Factor).where(
                Factor.user_id == user_id,
                Factor.status == "unverified",
                Factor.factor_type == factor_type,
                Factor.id != but,
            )
        )

    async def spend_step(self, factor_id: UUID, step: int) -> bool:
        """Note the time step of a code; False when it, or a later one, was spent before."""
        statement = (
            update(Factor)
            .where(Factor.id == factor_id, or_(Factor.last_used_step.is_(None), Factor.last_used_step < step))
            .values(last_used_step=step)
            .returning(Factor.id)
        )
        return (await self.session.scalars(statement)).first() is not None

    async def weaken_sessions(
        self, user_id: UUID, methods: Collection[str], *, factor_id: UUID | None = None
    ) -> None:
        """Let sessions that a factor strengthened, or any did, be what they were before, ``aal1``."""
        by_it = Session.aal != "aal1" if factor_id is None else Session.factor_id == factor_id
        statement = (
            update(Session)
            .where(Session.user_id == user_id, by_it)
            .values(aal="aal1", factor_id=None)
            .returning(Session.id)
        )
        sessions = (await self.session.scalars(statement)).all()
        await self.session.execute(
            delete(AmrClaim).where(
                AmrClaim.session_id.in_(sessions), AmrClaim.authentication_method.in_(methods)
            )
        )

    async def end_weak_sessions(self, user_id: UUID, *, but: UUID) -> int:
        """End the user's other sessions that were opened without a second factor; return how many."""
        statement = delete(Session).where(
            Session.user_id == user_id, Session.id != but, Session.aal == "aal1"
        )
        return len((await self.session.scalars(statement.returning(Session.id))).all())


class ChallengeRepository(Repository[Challenge]):
    """What was asked of factors."""

    model_type = Challenge

    async def find_of(self, factor_id: UUID, challenge_id: UUID) -> Challenge | None:
        """Find a challenge of this factor that was not answered yet."""
        return await self.find_by(
            Challenge.id == challenge_id, Challenge.factor_id == factor_id, Challenge.verified_at.is_(None)
        )

    async def take(self, challenge_id: UUID) -> bool:
        """Note that a challenge was answered; False when it was answered before."""
        statement = (
            update(Challenge)
            .where(Challenge.id == challenge_id, Challenge.verified_at.is_(None))
            .values(verified_at=now(), otp_code=None, web_authn_session_data=None)
            .returning(Challenge.id)
        )
        return (await self.session.scalars(statement)).first() is not None

    async def purge(self, *, older_than_seconds: float) -> None:
        """Delete what nobody can answer any more."""
        await self.session.execute(
            delete(Challenge).where(Challenge.created_at < now() - timedelta(seconds=older_than_seconds))
        )


class RecoveryCodeRepository(Repository[RecoveryCode]):
    """Codes for who lost a factor."""

    model_type = RecoveryCode

    async def replace(self, user_id: UUID, hashes: Sequence[str]) -> None:
        """Put these in the place of whatever codes the user had."""
        await self.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        await self.add_many([RecoveryCode(user_id=user_id, code_hash=code_hash) for code_hash in hashes])

    async def is_unused(self, user_id: UUID, code_hash: str) -> bool:
        """Say whether this is a code of the user that was not used yet."""
        return await self.find_by(*_unused(user_id), RecoveryCode.code_hash == code_hash) is not None

    async def spend(self, user_id: UUID, code_hash: str) -> bool:
        """Note that a code was used; False when it was used before, or is none of the user's."""
        statement = (
            update(RecoveryCode)
            .where(*_unused(user_id), RecoveryCode.code_hash == code_hash)
            .values(used_at=now())
            .returning(RecoveryCode.id)
        )
        return (await self.session.scalars(statement)).first() is not None

    async def count_given(self, user_id: UUID) -> int:
        """Return how many codes the user was given, used or not."""
        statement = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
        return await self.session.scalar(statement) or 0

    async def count_unused(self, user_id: UUID) -> int:
        """Return how many codes the user has left."""
        statement = select(func.count()).select_from(RecoveryCode).where(*_unused(user_id))
        return await self.session.scalar(statement) or 0


def _unused(user_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
