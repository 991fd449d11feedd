"""Invite people into a team by mail.

Whether an address is somebody's makes no difference to what is answered or
sent. The token is in the mail alone; a hash of it is kept. An invitation rests
on the roles of whoever sent it: it ends when that member loses one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from modules.auth import normal_email
from modules.rbac import RoleRepository, demand_held, get_role
from modules.teams.dtos import InvitationView
from modules.teams.errors import AlreadyInvited, AlreadyMember, TooManyInvitations
from modules.teams.events import TeamInvitationSent
from modules.teams.models import TeamInvitation
from modules.teams.permissions import WRITE_MEMBERS
from modules.teams.repositories import InvitationRepository, TeamRepository
from modules.teams.services.seats import changing, demand_columns, revoke
from modules.teams.services.standing import ABSENT, demand_here, find, person_of
from monohull.kernel import clock, ids, outbox
from monohull.kernel.errors import NotFound
from monohull.kernel.ids import hash_token, uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth import Mailing, Origin
    from modules.rbac import Role, Team
    from modules.teams.dtos import Invite
    from modules.teams.settings import TeamsSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page
    from monohull.kernel.principal import Principal

TEMPLATE: Final = "team_invite"
NO_INVITATION: Final = "This team has no invitation with this id."


class TeamInvitations:
    """Invitations, for those who send them."""

    def __init__(self, database: Database, mailing: Mailing, settings: TeamsSettings) -> None:
        self._database = database
        self._mailing = mailing
        self._settings = settings

    async def page(self, team_id: UUID, page: Page, by: Principal) -> tuple[Sequence[InvitationView], int]:
        """Return a page of a team's invitations, the newest first, and how many there are.

        Raises:
            NotFound: 404. Forbidden: 403.
        """
        async with self._database.unit_of_work() as work:
            await _authorise(work, team_id, by)
            found, total = await InvitationRepository(work).page(team_id, page)
            return [view(row, role) for row, role in found], total

    async def invite(self, team_id: UUID, wanted: Invite, by: Principal, origin: Origin) -> InvitationView:
        """Ask an address to join a team.

        Raises:
            ValidationFailed: 400. NotFound: 404, no such team or role. Forbidden, BeyondOwnRoles: 403.
            MailUnavailable: 422. TooManyMails: 429.
            AlreadyMember, AlreadyInvited, TooManyInvitations: 409.
        """
        email = normal_email(wanted.email)
        async with self._database.unit_of_work() as work:
            await _authorise(work, team_id, by)
        await self._admit(email, origin)
        async with changing(self._database) as work:
            team, held = await _authorise(work, team_id, by)
            await _lock(work, team_id, by)
            role = await get_role(work, wanted.role)
            demand_held(role.permissions, held)
            await demand_columns(work, role.id, by)
            await self._demand_room(work, team_id, email)
            now = clock.now()
            row = TeamInvitation(
                id=uuid7(), team_id=team_id, email=email, role_id=role.id, created_at=now, token_hash=""
            )
            return await self._send(work, row, team, role, by, wanted.redirect_to)

    async def resend(
        self, team_id: UUID, invitation_id: UUID, redirect_to: str | None, by: Principal, origin: Origin
    ) -> InvitationView:
        """Send an invitation again, with a new token and time; the mail before it leads nowhere any more.

        Raises:
            NotFound: 404. Forbidden, BeyondOwnRoles: 403. MailUnavailable: 422. TooManyMails: 429.
        """
        async with self._database.unit_of_work() as work:
            await _authorise(work, team_id, by)
            email = (await _get(work, team_id, invitation_id)).email
        await self._admit(email, origin)
        async with changing(self._database) as work:
            team, held = await _authorise(work, team_id, by)
            await _lock(work, team_id, by)
            row = await _get(work, team_id, invitation_id)
            role = await RoleRepository(work).get_by_id(row.role_id)
            demand_held(role.permissions, held)
            await demand_columns(work, role.id, by)
            return await self._send(work, row, team, role, by, redirect_to)

    async def revoke(self, team_id: UUID, invitation_id: UUID, by: Principal) -> None:
        """End an invitation.

        Raises:
            NotFound: 404. Forbidden: 403.
        """
        async with changing(self._database) as work:
            await _authorise(work, team_id, by)
            await _lock(work, team_id, by)
            await revoke(work, await _get(work, team_id, invitation_id))

    async def _admit(self, email: str, origin: Origin) -> None:
        """Count the mail of somebody who may send one, with no transaction open."""
        self._mailing.require()
        await self._mailing.admit(TEMPLATE, email, origin)

    async def _demand_room(self, work: AsyncSession, team_id: UUID, email: str) -> None:
        """Let an address pass that may be invited; an invitation to it that is over makes room."""
        invitations = InvitationRepository(work)
        if await TeamRepository(work).has_member(team_id, email):
            raise AlreadyMember("Somebody with this address is in the team.")
        earlier = await invitations.find_to(team_id, email)
        if earlier is not None and earlier.expires_at > clock.now():
            raise AlreadyInvited("An invitation to this address is open.")
        if earlier is not None:
            await invitations.remove(earlier)
        if await invitations.count_open(team_id) >= self._settings.max_invitations:
            raise TooManyInvitations(f"{self._settings.max_invitations} invitations wait for an answer.")

    async def _send(  # noqa: PLR0913, PLR0917 what is sent, by whom and where it leads
        self,
        work: AsyncSession,
        row: TeamInvitation,
        team: Team,
        role: Role,
        by: Principal,
        redirect_to: str | None,
    ) -> InvitationView:
        token, is_repeated = ids.token(), bool(row.token_hash)
        row.token_hash = hash_token(token)
        row.invited_by = person_of(by)
        row.sent_at = clock.now()
        row.expires_at = row.sent_at + timedelta(hours=self._settings.invitation_hours)
        work.add(row)
        await work.flush()
        sent = TeamInvitationSent(
            invitation_id=str(row.id),
            team_id=str(team.id),
            email=row.email,
            role=role.name,
            is_repeated=is_repeated,
        )
        await outbox.publish(work, sent, key=sent.team_id)
        inviter = by.claims.get("email") if row.invited_by is not None else None
        await self._mailing.send(
            work,
            TEMPLATE,
            row.email,
            link={"invitation_token": token},
            redirect_to=redirect_to,
            data={"team": team.name, "inviter": inviter if isinstance(inviter, str) else ""},
        )
        return view(row, role.name)


async def _authorise(work: AsyncSession, team_id: UUID, by: Principal) -> tuple[Team, frozenset[str]]:
    """Return a team and what ``by`` holds for it, once it is clear that ``by`` may invite.

    Raises:
        NotFound: 404. Forbidden: 403.
    """
    team, standing = await find(work, team_id, by)
    return team, demand_here(by, standing, WRITE_MEMBERS)


async def _lock(work: AsyncSession, team_id: UUID, by: Principal) -> None:
    """Have other changes of the team wait, and whoever deletes the sender.

    Raises:
        NotFound: 404.
    """
    teams = TeamRepository(work)
    if (sender := person_of(by)) is not None:
        await teams.find_person(sender)
    if not await teams.lock(team_id):
        raise NotFound(ABSENT)


async def _get(work: AsyncSession, team_id: UUID, invitation_id: UUID) -> TeamInvitation:
    found = await InvitationRepository(work).find_of(team_id, invitation_id)
    if found is None:
        raise NotFound(NO_INVITATION)
    return found


def view(row: TeamInvitation, role: str) -> InvitationView:
    """Show an invitation to those who may send one."""
    return InvitationView(
        id=row.id,
        team_id=row.team_id,
        email=row.email,
        role=role,
        invited_by=row.invited_by,
        created_at=row.created_at,
        sent_at=row.sent_at,
        expires_at=row.expires_at,
    )
