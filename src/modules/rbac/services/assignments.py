"""Give roles and take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.rbac.dtos import AssignmentView
from modules.rbac.errors import AlreadyAssigned
from modules.rbac.events import RoleAssigned, RoleTaken
from modules.rbac.models import RoleAssignment
from modules.rbac.permissions import demand_held
from modules.rbac.reach import demand_reach
from modules.rbac.repositories import AccessRepository, AssignmentRepository, GroupRepository, RoleRepository
from modules.rbac.services.roles import get_role
from monohull.kernel import clock, outbox
from monohull.kernel.errors import NotFound
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.rbac.dtos import AssignRole
    from modules.rbac.services.changes import Changes
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page
    from monohull.kernel.principal import Principal


class Assignments:
    """Who has which role."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    async def page(  # noqa: PLR0913 each narrows the list
        self,
        page: Page,
        *,
        role: str | None = None,
        user_id: UUID | None = None,
        key_id: UUID | None = None,
        group_id: UUID | None = None,
        team_id: UUID | None = None,
    ) -> tuple[Sequence[AssignmentView], int]:
        """Return a page of assignments, the oldest first, and how many there are.

        Raises:
            NotFound: 404, no such role.
        """
        async with self._database.unit_of_work() as work:
            conditions: list[ColumnElement[bool]] = [
                column == wanted
                for column, wanted in (
                    (RoleAssignment.user_id, user_id),
                    (RoleAssignment.key_id, key_id),
                    (RoleAssignment.group_id, group_id),
                    (RoleAssignment.team_id, team_id),
                )
                if wanted is not None
            ]
            if role is not None:
                conditions.append(RoleAssignment.role_id == (await get_role(work, role)).id)
            found, total = await AssignmentRepository(work).page(page, *conditions)
            return [view(row, name) for row, name in found], total

    async def assign(self, wanted: AssignRole, by: Principal) -> AssignmentView:
        """Give a role.

        Raises:
            NotFound: 404, no such role, user, key, group or team.
            BeyondOwnRoles: 403, the role bundles more than ``by`` holds. AlreadyAssigned: 409.
        """
        async with self._changes.open() as work:
            await _demand_there(work, wanted)
            role = await get_role(work, wanted.role)
            demand_held(role.permissions, by.permissions)
            await demand_reach(work, by, role_id=role.id)
            row = RoleAssignment(
                id=uuid7(),
                role_id=role.id,
                user_id=wanted.user_id,
                key_id=wanted.key_id,
                group_id=wanted.group_id,
                team_id=wanted.team_id,
                created_at=clock.now(),
                created_by=by.subject or by.key_id or by.kind.value,
            )
            assignments = AssignmentRepository(work)
            if await assignments.find_like(row) is not None:
                raise AlreadyAssigned(f"The role {role.name} is assigned there already.")
            await assignments.add(row)
            await outbox.publish(work, RoleAssigned(**_told(row, role.name)), key=str(holder(row)[1]))
            return view(row, role.name)

    async def take(self, assignment_id: UUID, by: Principal) -> None:
        """Take a role from whoever an assignment gave it to.

        Raises:
            NotFound: 404. BeyondOwnRoles: 403. LastOwner, LastTeamOwner: 409.
        """
        async with self._changes.open() as work:
            access, assignments = AccessRepository(work), AssignmentRepository(work)
            row = await assignments.get_by_id(assignment_id)
            if row.user_id is not None:
                await access.keep_user(row.user_id)
            await access.lock()
            await access.lock_teams(assignment_id=row.id)
            role = await RoleRepository(work).get_by_id(row.role_id)
            demand_held(role.permissions, by.permissions)
            await demand_reach(work, by, role_id=role.id)
            if not await assignments.remove(row):
                raise assignments.absent("The assignment is not there any more.")
            await outbox.publish(work, RoleTaken(**_told(row, role.name)), key=str(holder(row)[1]))


async def _demand_there(work: AsyncSession, wanted: AssignRole) -> None:
    """Let a wish pass whose holder and team exist; keep them, and every other change of access waiting.

    Raises:
        NotFound: 404.
    """
    access = AccessRepository(work)
    if wanted.user_id is not None and not await access.has_user(wanted.user_id):
        raise NotFound("No user has this id.")
    if wanted.key_id is not None and not await access.has_key(wanted.key_id):
        raise NotFound("No API key that is in use has this id.")
    await access.lock()
    if wanted.team_id is not None and not await access.has_team(wanted.team_id):
        raise NotFound("No team has this id.")
    if wanted.group_id is not None and await GroupRepository(work).find_by_id(wanted.group_id) is None:
        raise NotFound("No group has this id.")


def holder(row: RoleAssignment) -> tuple[str, UUID]:
    """Return the kind of who has the role, and its id."""
    for kind, found in (("user", row.user_id), ("key", row.key_id), ("group", row.group_id)):
        if found is not None:
            return kind, found
    raise AssertionError("the schema wants one of three")


def _told(row: RoleAssignment, role_name: str) -> dict[str, Any]:
    """Return the fields of the event about an assignment."""
    kind, holder_id = holder(row)
    return {
        "assignment_id": str(row.id),
        "role_id": str(row.role_id),
        "role_name": role_name,
        "holder": kind,
        "holder_id": str(holder_id),
        "team_id": None if row.team_id is None else str(row.team_id),
    }


def view(row: RoleAssignment, role_name: str) -> AssignmentView:
    """Show an assignment, with the name of its role."""
    return AssignmentView(
        id=row.id,
        role_id=row.role_id,
        role=role_name,
        user_id=row.user_id,
        key_id=row.key_id,
        group_id=row.group_id,
        team_id=row.team_id,
        created_at=row.created_at,
        created_by=row.created_by,
    )
