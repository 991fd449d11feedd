"""Answer an invitation: whoever it is addressed to may, with that address confirmed, and nobody else.

Everything that does not hold is refused in the same words: a token that never
was, one that is over, and one that was sent to another address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.rbac import RoleRepository
from modules.teams.dtos import ReceivedInvitation
from modules.teams.errors import InvitationUnknown
from modules.teams.events import TeamInvitationDeclined, TeamMemberJoined
from modules.teams.repositories import InvitationRepository, TeamRepository
from modules.teams.services.seats import changing, give
from modules.teams.services.standing import demand_own_session
from modules.teams.services.teams import view
from monohull.kernel import outbox
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.teams.dtos import InvitationRef, TeamView
    from modules.teams.models import TeamInvitation
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page
    from monohull.kernel.principal import Principal

UNKNOWN = "No invitation that is open and addressed to you is meant by this."


class Received:
    """Invitations, for those who get them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, page: Page, by: Principal) -> tuple[Sequence[ReceivedInvitation], int]:
        """Return a page of the open invitations to the confirmed address of ``by``, and how many there are.

        Raises:
            OwnSessionNeeded: 403.
        """
        user_id = demand_own_session(by)
        async with self._database.unit_of_work() as work:
            person = await TeamRepository(work).find_person(user_id, locks=False)
            if person is None or person.confirmed_email is None:
                return [], 0
            found, total = await InvitationRepository(work).received(person.confirmed_email, page)
            return [
                ReceivedInvitation(
                    id=row.id, team_id=team.id, team_name=team.name, role=role, expires_at=row.expires_at
                )
                for row, team, role in found
            ], total

    async def accept(self, wanted: InvitationRef, by: Principal) -> TeamView:
        """Let ``by`` join the team; whoever is in it already keeps the roles they have.

        Raises:
            OwnSessionNeeded: 403. InvitationUnknown: 404.
        """
        user_id = demand_own_session(by)
        async with changing(self._database) as work:
            teams = TeamRepository(work)
            row = await _claim(work, wanted, user_id)
            team = await teams.get_by_id(row.team_id)
            if not (await teams.held_in(team.id, user_id)).roles:
                role = await RoleRepository(work).get_by_id(row.role_id)
                await give(work, team.id, user_id, role, by)
                joined = TeamMemberJoined(
                    team_id=str(team.id), user_id=str(user_id), role=role.name, invitation_id=str(row.id)
                )
                await outbox.publish(work, joined, key=joined.team_id)
            await InvitationRepository(work).remove(row)
            return view(team, (await teams.held_in(team.id, user_id)).roles)

    async def decline(self, wanted: InvitationRef, by: Principal) -> None:
        """End an invitation to ``by``, who does not want to join.

        Raises:
            OwnSessionNeeded: 403. InvitationUnknown: 404.
        """
        user_id = demand_own_session(by)
        async with changing(self._database) as work:
            row = await _claim(work, wanted, user_id)
            declined = TeamInvitationDeclined(
                invitation_id=str(row.id), team_id=str(row.team_id), user_id=str(user_id)
            )
            await InvitationRepository(work).remove(row)
            await outbox.publish(work, declined, key=declined.team_id)


async def _claim(work: AsyncSession, wanted: InvitationRef, user_id: UUID) -> TeamInvitation:
    """Return an open invitation that is addressed to a user, with its team locked.

    Raises:
        InvitationUnknown: 404.
    """
    teams, invitations = TeamRepository(work), InvitationRepository(work)
    token_hash = None if wanted.token is None else hash_token(wanted.token)
    person = await teams.find_person(user_id)
    row = await invitations.find_open(token_hash=token_hash, invitation_id=wanted.id)
    if person is None or person.confirmed_email is None or row is None:
        raise InvitationUnknown(UNKNOWN)
    if row.email != person.confirmed_email or not await teams.lock(row.team_id):
        raise InvitationUnknown(UNKNOWN)
    row = await invitations.find_open(token_hash=token_hash, invitation_id=wanted.id)
    if row is None or row.email != person.confirmed_email:
        raise InvitationUnknown(UNKNOWN)
    return row
