"""Which permissions there are: those that modules register, and those that the application declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.rbac.dtos import PermissionView
from modules.rbac.errors import NameTaken, PermissionInUse
from modules.rbac.events import PermissionDeclared, PermissionWithdrawn
from modules.rbac.models import DeclaredPermission
from modules.rbac.repositories import AccessRepository, PermissionRepository, RoleRepository
from monohull.kernel import clock, outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.rbac.dtos import DeclarePermission
    from modules.rbac.services.changes import Changes
    from monohull.kernel.database.engine import Database
    from monohull.kernel.permissions import PermissionRegistry


class PermissionCatalogue:
    """Permissions that roles and keys may hold."""

    def __init__(self, database: Database, changes: Changes, registry: PermissionRegistry) -> None:
        self._database = database
        self._changes = changes
        self._registry = registry

    async def list_all(self) -> Sequence[PermissionView]:
        """Return all of them, by name."""
        async with self._database.unit_of_work() as work:
            declared = await PermissionRepository(work).list_all()
        found = [PermissionView(name=p.name, summary=p.summary, origin="module") for p in self._registry]
        found += [PermissionView(name=p.name, summary=p.summary, origin="application") for p in declared]
        return sorted(found, key=lambda permission: permission.name)

    async def declare(self, wanted: DeclarePermission) -> PermissionView:
        """Let roles bundle a permission of the application.

        Raises:
            NameTaken: 409, a module or the application has it already.
        """
        if self._registry.knows(wanted.name):
            raise NameTaken(f"{wanted.name} means something already.")
        async with self._changes.open() as work:
            row = DeclaredPermission(name=wanted.name, summary=wanted.summary, created_at=clock.now())
            await PermissionRepository(work).add(row)
            declared = PermissionDeclared(permission=row.name, summary=row.summary)
            await outbox.publish(work, declared, key=row.name)
        return PermissionView(name=wanted.name, summary=wanted.summary, origin="application")

    async def withdraw(self, name: str) -> None:
        """Forget a permission of the application.

        Raises:
            NotFound: 404. PermissionInUse: 409, a role names it.
        """
        async with self._changes.open() as work:
            await AccessRepository(work).lock()
            permissions = PermissionRepository(work)
            if (row := await permissions.find_by_name(name)) is None:
                raise permissions.absent("The application declares no such permission.")
            if await RoleRepository(work).is_bundled(name):
                raise PermissionInUse(f"Roles hold {name}.")
            await work.delete(row)
            await outbox.publish(work, PermissionWithdrawn(permission=name), key=name)
