"""Users, what they are recognised by, and their sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from modules.auth.models import AmrClaim, Identity, RefreshToken, Session, User
from monohull.kernel.clock import now
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID


class UserRepository(Repository[User]):
    """Users who exist; a deleted one is found by nobody who does not ask for it."""

    model_type = User

    async def find_by_email(self, email: str) -> User | None:
        """Find by address, whatever its case; users of single sign-on are found by their identity only."""
        statement = (
            select(User)
            .where(
                func.lower(User.email) == email.lower(),
                User.is_sso_user.is_(False),
                User.deleted_at.is_(None),
            )
            .order_by(User.created_at)
            .limit(1)
        )
        return (await self.session.scalars(statement)).first()

    async def find_by_phone(self, phone: str) -> User | None:
        """Find by number, which is E.164 without its plus."""
        return await self.find_by(User.phone == phone, User.deleted_at.is_(None))

    async def list_changing_to(self, address: str) -> Sequence[User]:
        """Return who asked to change to this address or number, latest first."""
        column, sent_at = (
            (User.email_change, User.email_change_sent_at)
            if "@" in address
            else (User.phone_change, User.phone_change_sent_at)
        )
        return await self.list_by(
            column == address, User.deleted_at.is_(None), order_by=[sent_at.desc().nulls_last()], limit=10
        )

    async def list_page(
        self, *, limit: int, offset: int, order_by: Sequence[Any], matching: str | None
    ) -> tuple[Sequence[User], int]:
        """Return a page of the users who are there, and how many there are in all.

        Args:
            limit: Rows.
            offset: Rows to leave out.
            order_by: Columns.
            matching: Part of an address, a number or a name.
        """
        conditions: list[ColumnElement[bool]] = [User.deleted_at.is_(None)]
        if matching:
            name = User.raw_user_meta_data["full_name"].astext
            conditions.append(
                or_(
                    *(
                        column.icontains(matching, autoescape=True)
                        for column in (User.email, User.phone, name)
                    )
                )
            )
        total = await self.session.scalar(select(func.count()).select_from(User).where(*conditions)) or 0
        statement = select(User).where(*conditions).order_by(*order_by).limit(limit).offset(offset)
        return (await self.session.scalars(statement)).all(), total

    async def find_alive(self, user_id: UUID) -> User | None:
        return await self.find_by(User.id == user_id, User.deleted_at.is_(None))

    async def lock(self, user_id: UUID, *, deleted_too: bool = False) -> User | None:
        """Find and hold the row until the unit of work ends; ``deleted_too``: a soft deletion too."""
        statement = select(User).where(User.id == user_id)
        if not deleted_too:
            statement = statement.where(User.deleted_at.is_(None))
        held = statement.with_for_update(of=User).execution_options(populate_existing=True)
        return (await self.session.scalars(held)).first()


class IdentityRepository(Repository[Identity]):
    """How users can be recognised."""

    model_type = Identity

    async def list_of(self, user_id: UUID) -> Sequence[Identity]:
        return await self.list_by(user_id=user_id, order_by=[Identity.created_at, Identity.id])

    async def find_by_subject(self, provider: str, subject: str) -> Identity | None:
        """Find by what the provider calls the person."""
        return await self.find_by(Identity.provider == provider, Identity.provider_id == subject)

    async def find_of(self, user_id: UUID, provider: str) -> Identity | None:
        return await self.find_by(Identity.user_id == user_id, Identity.provider == provider)

    async def touch(self, user_id: UUID, provider: str, at: datetime) -> None:
        """Note that the user signed in by this identity."""
        await self.session.execute(
            update(Identity)
            .where(Identity.user_id == user_id, Identity.provider == provider)
            .values(last_sign_in_at=at, updated_at=at)
        )


class SessionRepository(Repository[Session]):
    """Sign-ins."""

    model_type = Session

    async def lock(self, session_id: UUID) -> Session | None:
        """Find and hold the row until the unit of work ends: refreshes of one session queue here."""
        statement = select(Session).where(Session.id == session_id).with_for_update()
        return (await self.session.scalars(statement)).first()

    async def list_of(self, user_id: UUID) -> Sequence[Session]:
        return await self.list_by(user_id=user_id, order_by=[Session.created_at.desc(), Session.id.desc()])

    async def end(self, user_id: UUID, *, only: UUID | None = None, but: UUID | None = None) -> int:
        """Delete the user's sessions: all, ``only`` one, or all ``but`` one. Return how many there were."""
        statement = delete(Session).where(Session.user_id == user_id)
        if only is not None:
            statement = statement.where(Session.id == only)
        if but is not None:
            statement = statement.where(Session.id != but)
        return len((await self.session.scalars(statement.returning(Session.id))).all())


class RefreshTokenRepository(Repository[RefreshToken]):
    """The chains of tokens, as hashes."""

    model_type = RefreshToken

    async def find_by_hash(self, token_hash: str) -> RefreshToken | None:
        """Find a token as it is now, also when this unit of work has seen it before."""
        statement = select(RefreshToken).where(RefreshToken.token == token_hash)
        return (await self.session.scalars(statement.execution_options(populate_existing=True))).first()

    async def find_active(self, session_id: UUID) -> RefreshToken | None:
        return await self.find_by(RefreshToken.session_id == session_id, RefreshToken.revoked.is_(False))

    async def revoke_family(self, session_id: UUID) -> None:
        """Revoke every token of the session."""
        await self.session.execute(
            update(RefreshToken)
            .where(RefreshToken.session_id == session_id, RefreshToken.revoked.is_(False))
            .values(revoked=True, updated_at=now())
        )


class AmrRepository(Repository[AmrClaim]):
    """How sessions were authenticated."""

    model_type = AmrClaim

    async def list_of(self, session_id: UUID) -> Sequence[AmrClaim]:
        """Return how the session was authenticated, newest first."""
        return await self.list_by(
            session_id=session_id, order_by=[AmrClaim.updated_at.desc(), AmrClaim.id.desc()]
        )

    async def record(self, session_id: UUID, method: str) -> None:
        """Note that the session was authenticated by ``method`` just now."""
        await self.session.execute(
            insert(AmrClaim)
            .values(session_id=session_id, authentication_method=method)
            .on_conflict_do_update(
                constraint="mfa_amr_claims_session_id_authentication_method_pkey", set_={"updated_at": now()}
            )
        )
