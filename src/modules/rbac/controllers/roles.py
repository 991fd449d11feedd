"""``/platform/v1/roles``: bundles of permissions. A role is named by its name or its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from modules.rbac.controllers.queries import text_of
from modules.rbac.dtos import CreateRole, RolePatch, RoleView
from modules.rbac.permissions import READ_ROLES, WRITE_ROLES
from modules.rbac.services import Roles
from monohull.kernel.guards import requires
from monohull.kernel.pages import page_of, paged
from monohull.kernel.principal import Principal


class RolesController(Controller):
    path = "/roles"
    tags = ("Access",)

    @get(guards=[requires(READ_ROLES.name)], operation_id="ListRoles")
    async def show(
        self, request: Request[Any, Any, Any], roles: NamedDependency[Roles]
    ) -> Response[Sequence[RoleView]]:
        """List roles by name; ``q`` is in their name or summary, ``permission`` is included in them."""
        page = page_of(request)
        words, permission = text_of(request, "q"), text_of(request, "permission")
        found, total = await roles.page(page, words=words, permission=permission)
        return paged(request, page, found, total)

    @post(guards=[requires(WRITE_ROLES.name)], operation_id="CreateRole")
    async def create(
        self, roles: NamedDependency[Roles], principal: NamedDependency[Principal], data: JSONBody[CreateRole]
    ) -> RoleView:
        """Create a role. It can bundle what the caller holds."""
        return await roles.create(data, principal)

    @get("/{role:str}", guards=[requires(READ_ROLES.name)], operation_id="GetRole")
    async def one(self, roles: NamedDependency[Roles], role: FromPath[str]) -> RoleView:
        """Show one role."""
        return await roles.get(role)

    @patch("/{role:str}", guards=[requires(WRITE_ROLES.name)], operation_id="UpdateRole")
    async def change(
        self,
        roles: NamedDependency[Roles],
        principal: NamedDependency[Principal],
        role: FromPath[str],
        data: JSONBody[RolePatch],
    ) -> RoleView:
        """Change a role. What it bundles counts for everybody who has it, at once."""
        return await roles.change(role, data, principal)

    @delete("/{role:str}", guards=[requires(WRITE_ROLES.name)], operation_id="DeleteRole")
    async def end(
        self, roles: NamedDependency[Roles], principal: NamedDependency[Principal], role: FromPath[str]
    ) -> None:
        """Delete a role and take it from everybody who has it."""
        await roles.delete(role, principal)
