"""``/platform/v1/permissions``: what roles and keys may hold."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from modules.rbac.dtos import DeclarePermission, PermissionView
from modules.rbac.permissions import READ_ROLES, WRITE_ROLES
from modules.rbac.services import PermissionCatalogue
from monohull.kernel.guards import requires


class PermissionsController(Controller):
    path = "/permissions"
    tags = ("Access",)

    @get(guards=[requires(READ_ROLES.name)], operation_id="ListPermissions")
    async def show(self, catalogue: NamedDependency[PermissionCatalogue]) -> Sequence[PermissionView]:
        """List every permission that modules register or the application declared, by name."""
        return await catalogue.list_all()

    @post(guards=[requires(WRITE_ROLES.name)], operation_id="DeclarePermission")
    async def declare(
        self, catalogue: NamedDependency[PermissionCatalogue], data: JSONBody[DeclarePermission]
    ) -> PermissionView:
        """Declare a permission of the application, for roles and for policies that ask for it."""
        return await catalogue.declare(data)

    @delete("/{name:str}", guards=[requires(WRITE_ROLES.name)], operation_id="WithdrawPermission")
    async def withdraw(self, catalogue: NamedDependency[PermissionCatalogue], name: FromPath[str]) -> None:
        """Forget a permission of the application that no role names."""
        await catalogue.withdraw(name)
