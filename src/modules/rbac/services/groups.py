"""Make, change and delete groups; put users into them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import UNSET

from modules.rbac.dtos import GroupView, MemberView
from modules.rbac.events import (
    GroupCreated,
    GroupDeleted,
    GroupMemberAdded,
    GroupMemberRemoved,
    GroupUpdated,
)
from modules.rbac.models import Group, RoleAssignment
from modules.rbac.permissions import demand_held
from modules.rbac.reach import demand_reach
from modules.rbac.repositories import AccessRepository, AssignmentRepository, GroupRepository
from monohull.kernel import clock, outbox
from monohull.kernel.errors import NotFound
from monohull.kernel.ids import uuid7
from monohull.kernel.pagination import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.rbac.dtos import CreateGroup, GroupPatch
    from modules.rbac.services.changes import Changes
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


class Groups:
    """The groups of this instance."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    async def page(self, page: Page, words: str | None = None) -> tuple[Sequence[GroupView], int]:
        """Return a page of groups by name, and how many there are."""
        async with self._database.unit_of_work() as work:
            found, total = await GroupRepository(work).page(page, words)
            return [view(group) for group in found], total

    async def get(self, group: str) -> GroupView:
        """Return the group with this id or name.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            return view(await get_group(work, group))

    async def create(self, wanted: CreateGroup) -> GroupView:
        """Make a group, which holds nothing yet.

        Raises:
            NameTaken: 409.
        """
        async with self._changes.open() as work:
            now = clock.now()
            row = Group(id=uuid7(), name=wanted.name, summary=wanted.summary, created_at=now, updated_at=now)
            await GroupRepository(work).add(row)
            await outbox.publish(
                work, GroupCreated(group_id=str(row.id), group_name=row.name), key=str(row.id)
            )
            return view(row)

    async def change(self, group: str, wanted: GroupPatch) -> GroupView:
        """Call or describe a group otherwise.

        Raises:
            NotFound: 404. NameTaken: 409.
        """
        async with self._changes.open() as work:
            row = await get_group(work, group)
            previous_name = row.name
            if wanted.name is not UNSET:
                row.name = wanted.name
            if wanted.summary is not UNSET:
                row.summary = wanted.summary
            row.updated_at = clock.now()
            await work.flush()
            updated = GroupUpdated(group_id=str(row.id), group_name=row.name, previous_name=previous_name)
            await outbox.publish(work, updated, key=str(row.id))
            return view(row)

    async def delete(self, group: str, by: Principal) -> None:
        """Delete a group; its members lose what they held through it.

        Raises:
            NotFound: 404. BeyondOwnRoles: 403. LastOwner, LastTeamOwner: 409.
        """
        async with self._changes.open() as work:
            access = AccessRepository(work)
            await access.lock()
            row = await get_group(work, group)
            await access.lock_teams(group_id=row.id)
            assignments = AssignmentRepository(work)
            demand_held(await assignments.permissions_of_group(row.id), by.permissions)
            await demand_reach(work, by, group_id=row.id)
            _, members = await GroupRepository(work).members(row.id, Page(1))
            gone = GroupDeleted(
                group_id=str(row.id),
                group_name=row.name,
                members=members,
                assignments=await assignments.count_of(RoleAssignment.group_id == row.id),
            )
            await work.delete(row)
            await outbox.publish(work, gone, key=gone.group_id)

    async def members(self, group: str, page: Page) -> tuple[Sequence[MemberView], int]:
        """Return a page of a group's members, and how many there are.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            row = await get_group(work, group)
            found, total = await GroupRepository(work).members(row.id, page)
            return [MemberView(user_id=m.user_id, created_at=m.created_at) for m in found], total

    async def add(self, group: str, user_id: UUID, by: Principal) -> None:
        """Put a user into a group; one that is in it stays.

        Raises:
            NotFound: 404, no such group or user. BeyondOwnRoles: 403, the group holds more than ``by``.
        """
        async with self._changes.open() as work:
            access = AccessRepository(work)
            if not await access.has_user(user_id):
                raise NotFound("No user has this id.")
            await access.lock()
            row = await get_group(work, group)
            demand_held(await AssignmentRepository(work).permissions_of_group(row.id), by.permissions)
            await demand_reach(work, by, group_id=row.id)
            groups = GroupRepository(work)
            if await groups.find_member(row.id, user_id) is None:
                await groups.add_member(row.id, user_id)
                added = GroupMemberAdded(group_id=str(row.id), group_name=row.name, user_id=str(user_id))
                await outbox.publish(work, added, key=str(row.id))

    async def remove(self, group: str, user_id: UUID, by: Principal) -> None:
        """Take a user out of a group.

        Raises:
            NotFound: 404, no such group or member. BeyondOwnRoles: 403. LastOwner, LastTeamOwner: 409.
        """
        async with self._changes.open() as work:
            access = AccessRepository(work)
            await access.lock()
            row = await get_group(work, group)
            await access.lock_teams(group_id=row.id)
            groups = GroupRepository(work)
            if (member := await groups.find_member(row.id, user_id)) is None:
                raise NotFound("The user is not in this group.")
            demand_held(await AssignmentRepository(work).permissions_of_group(row.id), by.permissions)
            await demand_reach(work, by, group_id=row.id)
            await groups.remove_member(member)
            removed = GroupMemberRemoved(group_id=str(row.id), group_name=row.name, user_id=str(user_id))
            await outbox.publish(work, removed, key=str(row.id))


async def get_group(work: AsyncSession, group: str) -> Group:
    """Return the group with this name or id.

    Raises:
        NotFound: 404.
    """
    groups = GroupRepository(work)
    try:
        group_id = UUID(group)
    except ValueError:
        found = await groups.find_by_name(group)
    else:
        found = await groups.find_by_id(group_id)
    if found is None:
        raise groups.absent("No group has this name or id.")
    return found


def view(row: Group) -> GroupView:
    """Show a group."""
    return GroupView(
        id=row.id,
        name=row.name,
        summary=row.summary,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
