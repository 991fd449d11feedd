"""Give roles in a team and take them, within a change that somebody else decided on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from modules.rbac import (
    BeyondOwnRoles,
    ColumnsRepository,
    LastTeamOwner,
    RoleAssigned,
    RoleAssignment,
    RoleRepository,
    RoleTaken,
    demand_held,
    demand_reach,
)
from modules.teams.errors import AlreadyInvited, AlreadyMember, SlugTaken, TeamInUse
from modules.teams.events import TeamInvitationRevoked
from modules.teams.permissions import WRITE_MEMBERS
from modules.teams.repositories import InvitationRepository
from monohull.kernel import clock, outbox
from monohull.kernel.database.engine import driver_error
from monohull.kernel.database.repository import violated_constraint
from monohull.kernel.errors import NotFound, SchemaConflict
from monohull.kernel.ids import uuid7
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.rbac import Role
    from modules.teams.models import TeamInvitation
    from modules.teams.repositories import OwnRole
    from monohull.kernel.database.engine import Database
    from monohull.kernel.permissions import Permission
    from monohull.kernel.principal import Principal

_TAKEN: Final = {
    "uq_teams_slug": SlugTaken("Another team has this slug."),
    "uq_team_invitations_team_id_email": AlreadyInvited("An invitation to this address is open."),
    "ux_role_assignments_user_team": AlreadyMember("The user has this role in the team."),
}


@asynccontextmanager
async def changing(database: Database) -> AsyncIterator[AsyncSession]:
    """Open a unit of work that changes a team.

    Raises:
        SlugTaken, AlreadyInvited, AlreadyMember: 409, somebody else was quicker.
        LastTeamOwner: 409, the team would have no owner any more; the schema's triggers say so.
        TeamInUse: 409, rows of the application refer to what was to be deleted.
        NotFound: 404, a role or user was deleted meanwhile.
        Unavailable: 503.
    """
    try:
        async with database.unit_of_work() as work:
            yield work
    except IntegrityError as error:
        if (refusal := _TAKEN.get(violated_constraint(error) or "")) is not None:
            raise type(refusal)(refusal.message) from error
        cause = driver_error(error)
        if isinstance(cause, (asyncpg.ForeignKeyViolationError, asyncpg.RestrictViolationError)):
            if cause.schema_name == "monohull":
                raise NotFound("The role or the user is not there any more.") from error
            raise TeamInUse("Rows of the application still belong to this team.") from error
        raise
    except SchemaConflict as refusal:
        if refusal.rule == "last_team_owner":
            raise LastTeamOwner(refusal.message) from refusal
        raise


async def demand_columns(
    work: AsyncSession, role_id: UUID, by: Principal, permission: Permission = WRITE_MEMBERS
) -> None:
    """Let pass who may decide who has a role in a team, as far as its columns go.

    The columns that a role leaves count in every team and outside of them. So a role that has some is given
    and taken by staff of the instance alone, which holds ``permission``, and by nobody who is limited in the
    same relations.

    Raises:
        BeyondOwnRoles: 403.
    """
    await demand_reach(work, by, role_id=role_id)
    if not grants(by.permissions, permission.name) and await ColumnsRepository(work).of_role(role_id):
        raise BeyondOwnRoles("The role limits columns everywhere; staff of the instance gives and takes it.")


async def give(work: AsyncSession, team_id: UUID, user_id: UUID, role: Role, by: Principal) -> None:
    """Give a role in a team to a user who does not have it there.

    Raises:
        NotFound: 404, the role was deleted meanwhile.
        BeyondOwnRoles: 403, ``by`` is limited to some columns of what the role says something about.
    """
    await demand_reach(work, by, role_id=role.id)
    if not await RoleRepository(work).keep(role):
        raise NotFound("No role has this name or id.")
    row = RoleAssignment(
        id=uuid7(),
        role_id=role.id,
        user_id=user_id,
        team_id=team_id,
        created_at=clock.now(),
        created_by=by.subject or by.key_id or by.kind.value,
    )
    work.add(row)
    await work.flush()
    told = RoleAssigned(**_told(row.id, role.id, role.name, user_id, team_id))
    await outbox.publish(work, told, key=str(user_id))


async def take(
    work: AsyncSession, team_id: UUID, user_id: UUID, roles: Sequence[OwnRole], held: frozenset[str]
) -> None:
    """Take roles in a team from a user; invitations that the user sent end, they rested on these roles.

    Raises:
        BeyondOwnRoles: 403, a role bundles more than ``held``.
    """
    if roles:
        for invitation in await InvitationRepository(work).list_sent_by(team_id, user_id):
            await revoke(work, invitation)
    for had in roles:
        demand_held(had.permissions, held)
        await work.execute(delete(RoleAssignment).where(RoleAssignment.id == had.assignment_id))
        told = RoleTaken(**_told(had.assignment_id, had.role_id, had.name, user_id, team_id))
        await outbox.publish(work, told, key=str(user_id))


async def revoke(work: AsyncSession, invitation: TeamInvitation) -> None:
    """End an invitation."""
    told = TeamInvitationRevoked(
        invitation_id=str(invitation.id), team_id=str(invitation.team_id), email=invitation.email
    )
    await InvitationRepository(work).remove(invitation)
    await outbox.publish(work, told, key=told.team_id)


def _told(assignment_id: UUID, role_id: UUID, role_name: str, user_id: UUID, team_id: UUID) -> dict[str, Any]:
    """Return the fields of rbac's event about an assignment."""
    return {
        "assignment_id": str(assignment_id),
        "role_id": str(role_id),
        "role_name": role_name,
        "holder": "user",
        "holder_id": str(user_id),
        "team_id": str(team_id),
    }
