"""Invitations into teams. Those past their time are nobody's any more, and wait to be purged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from modules.rbac import Role, Team
from modules.teams.models import TeamInvitation
from monohull.kernel import clock
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from monohull.kernel.pagination import Page


class InvitationRepository(Repository[TeamInvitation]):
    """Who is asked to join which team."""

    model_type = TeamInvitation

    async def page(self, team_id: UUID, page: Page) -> tuple[Sequence[tuple[TeamInvitation, str]], int]:
        """Return a page of a team's invitations, the newest first, with their roles' names; and their number.

        Those that nobody can accept any more are among them, for whoever wants to send them again.
        """
        condition = TeamInvitation.team_id == team_id
        total = await self.session.scalar(select(func.count()).select_from(TeamInvitation).where(condition))
        statement = (
            select(TeamInvitation, Role.name)
            .join(Role, Role.id == TeamInvitation.role_id)
            .where(condition)
            .order_by(TeamInvitation.created_at.desc(), TeamInvitation.id)
            .limit(page.limit)
            .offset(page.offset)
        )
        rows = (await self.session.execute(statement)).all()
        return [(row[0], row[1]) for row in rows], total or 0

    async def received(
        self, email: str, page: Page
    ) -> tuple[Sequence[tuple[TeamInvitation, Team, str]], int]:
        """Return a page of the open invitations of an address, each with team and role, and their number."""
        conditions = (TeamInvitation.email == email, TeamInvitation.expires_at > clock.now())
        total = await self.session.scalar(select(func.count()).select_from(TeamInvitation).where(*conditions))
        statement = (
            select(TeamInvitation, Team, Role.name)
            .join(Team, Team.id == TeamInvitation.team_id)
            .join(Role, Role.id == TeamInvitation.role_id)
            .where(*conditions)
            .order_by(TeamInvitation.created_at.desc(), TeamInvitation.id)
            .limit(page.limit)
            .offset(page.offset)
        )
        rows = (await self.session.execute(statement)).all()
        return [(row[0], row[1], row[2]) for row in rows], total or 0

    async def count_open(self, team_id: UUID) -> int:
        """Return how many invitations of a team wait for an answer."""
        conditions = (TeamInvitation.team_id == team_id, TeamInvitation.expires_at > clock.now())
        return (
            await self.session.scalar(select(func.count()).select_from(TeamInvitation).where(*conditions))
            or 0
        )

    async def find_of(self, team_id: UUID, invitation_id: UUID) -> TeamInvitation | None:
        return await self.find_by(team_id=team_id, id=invitation_id)

    async def find_to(self, team_id: UUID, email: str) -> TeamInvitation | None:
        return await self.find_by(team_id=team_id, email=email)

    async def find_open(
        self, *, token_hash: str | None = None, invitation_id: UUID | None = None
    ) -> TeamInvitation | None:
        """Return the open invitation of a token or an id, as it is now."""
        condition = (
            TeamInvitation.id == invitation_id
            if token_hash is None
            else TeamInvitation.token_hash == token_hash
        )
        statement = select(TeamInvitation).where(condition, TeamInvitation.expires_at > clock.now())
        return (
            await self.session.scalars(statement, execution_options={"populate_existing": True})
        ).one_or_none()

    async def list_sent_by(self, team_id: UUID, user_id: UUID) -> Sequence[TeamInvitation]:
        return await self.list_by(team_id=team_id, invited_by=user_id)

    async def remove(self, invitation: TeamInvitation) -> None:
        await self.session.delete(invitation)
        await self.session.flush()

    async def purge(self, before: datetime) -> None:
        """Delete what nobody could accept any more at ``before``."""
        await self.session.execute(delete(TeamInvitation).where(TeamInvitation.expires_at < before))
