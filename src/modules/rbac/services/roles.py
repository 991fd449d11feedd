"""Make, change and delete roles."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import UNSET

from modules.rbac.dtos import RoleView
from modules.rbac.errors import BuiltinRole
from modules.rbac.events import RoleCreated, RoleDeleted, RoleUpdated
from modules.rbac.models import Role, RoleAssignment
from modules.rbac.permissions import demand_held, demand_known
from modules.rbac.reach import demand_reach
from modules.rbac.repositories import (
    AccessRepository,
    AssignmentRepository,
    PermissionRepository,
    RoleRepository,
)
from monohull.kernel import clock, outbox
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.rbac.dtos import CreateRole, RolePatch
    from modules.rbac.services.changes import Changes
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page
    from monohull.kernel.permissions import PermissionRegistry
    from monohull.kernel.principal import Principal


class Roles:
    """The roles of this instance."""

    def __init__(self, database: Database, changes: Changes, registry: PermissionRegistry) -> None:
        self._database = database
        self._changes = changes
        self._registry = registry

    async def page(
        self, page: Page, *, words: str | None = None, permission: str | None = None
    ) -> tuple[Sequence[RoleView], int]:
        """Return a page of roles by name, and how many there are."""
        async with self._database.unit_of_work() as work:
            found, total = await RoleRepository(work).page(page, words=words, permission=permission)
            return [view(role) for role in found], total

    async def get(self, role: str) -> RoleView:
        """Return the role with this name or id.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            return view(await get_role(work, role))

    async def create(self, wanted: CreateRole, by: Principal) -> RoleView:
        """Make a role.

        Raises:
            UnknownRolePermission: 400. BeyondOwnRoles: 403. NameTaken: 409.
        """
        permissions = sorted(set(wanted.permissions))
        demand_held(permissions, by.permissions)
        async with self._changes.open() as work:
            await self._demand_known(work, permissions)
            now = clock.now()
            row = Role(
                id=uuid7(),
                name=wanted.name,
                summary=wanted.summary,
                permissions=permissions,
                is_builtin=False,
                created_at=now,
                updated_at=now,
            )
            await RoleRepository(work).add(row)
            created = RoleCreated(role_id=str(row.id), role_name=row.name, permissions=tuple(permissions))
            await outbox.publish(work, created, key=str(row.id))
            return view(row)

    async def change(self, role: str, wanted: RolePatch, by: Principal) -> RoleView:
        """Change a role; whoever has it holds what it bundles now.

        Raises:
            NotFound: 404. BuiltinRole: 409. UnknownRolePermission: 400. NameTaken: 409.
            BeyondOwnRoles: 403, ``by`` does not hold what the role bundles or would bundle.
        """
        async with self._changes.open() as work:
            await AccessRepository(work).lock()
            row = await get_role(work, role)
            _demand_own(row)
            before, previous_name = set(row.permissions), row.name
            after = before if wanted.permissions is UNSET else set(wanted.permissions)
            demand_held(before | after, by.permissions)
            await self._demand_known(work, after - before)
            if wanted.name is not UNSET:
                row.name = wanted.name
            if wanted.summary is not UNSET:
                row.summary = wanted.summary
            row.permissions = sorted(after)
            row.updated_at = clock.now()
            await work.flush()
            updated = RoleUpdated(
                role_id=str(row.id),
                role_name=row.name,
                previous_name=previous_name,
                added=tuple(sorted(after - before)),
                removed=tuple(sorted(before - after)),
            )
            await outbox.publish(work, updated, key=str(row.id))
            return view(row)

    async def delete(self, role: str, by: Principal) -> None:
        """Delete a role and take it from everybody.

        Raises:
            NotFound: 404. BuiltinRole: 409. BeyondOwnRoles: 403.
        """
        async with self._changes.open() as work:
            await AccessRepository(work).lock()
            row = await get_role(work, role)
            _demand_own(row)
            demand_held(row.permissions, by.permissions)
            await demand_reach(work, by, role_id=row.id)
            await AccessRepository(work).lock_teams(role_id=row.id)
            assignments = await AssignmentRepository(work).count_of(RoleAssignment.role_id == row.id)
            gone = RoleDeleted(
                role_id=str(row.id),
                role_name=row.name,
                permissions=tuple(row.permissions),
                assignments=assignments,
            )
            await work.delete(row)
            await outbox.publish(work, gone, key=gone.role_id)

    async def _demand_known(self, work: AsyncSession, patterns: Iterable[str]) -> None:
        patterns = list(patterns)
        if patterns:
            declared = await PermissionRepository(work).names()
            demand_known(patterns, {*declared, *(permission.name for permission in self._registry)})


async def get_role(work: AsyncSession, role: str) -> Role:
    """Return the role with this name or id.

    Raises:
        NotFound: 404.
    """
    roles = RoleRepository(work)
    try:
        role_id = UUID(role)
    except ValueError:
        found = await roles.find_by_name(role)
    else:
        found = await roles.find_by_id(role_id)
    if found is None:
        raise roles.absent("No role has this name or id.")
    return found


def _demand_own(row: Role) -> None:
    if row.is_builtin:
        raise BuiltinRole(f"The role {row.name} comes with the product.")


def view(row: Role) -> RoleView:
    """Show a role."""
    return RoleView(
        id=row.id,
        name=row.name,
        summary=row.summary,
        permissions=tuple(row.permissions),
        is_builtin=row.is_builtin,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
