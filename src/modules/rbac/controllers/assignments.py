"""``/platform/v1/role-assignments``: who has which role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from modules.rbac.controllers.queries import optional_id, text_of
from modules.rbac.dtos import AssignmentView, AssignRole
from modules.rbac.permissions import READ_ASSIGNMENTS, WRITE_ASSIGNMENTS
from modules.rbac.services import Assignments
from monohull.kernel.guards import requires
from monohull.kernel.pages import id_of, page_of, paged
from monohull.kernel.principal import Principal


class AssignmentsController(Controller):
    path = "/role-assignments"
    tags = ("Access",)

    @get(guards=[requires(READ_ASSIGNMENTS.name)], operation_id="ListRoleAssignments")
    async def show(
        self, request: Request[Any, Any, Any], assignments: NamedDependency[Assignments]
    ) -> Response[Sequence[AssignmentView]]:
        """List who has which role, the oldest first.

        ``role``, ``user_id``, ``key_id``, ``group_id`` and ``team_id`` narrow the list.
        """
        page = page_of(request)
        found, total = await assignments.page(
            page,
            role=text_of(request, "role"),
            user_id=optional_id(request, "user_id"),
            key_id=optional_id(request, "key_id"),
            group_id=optional_id(request, "group_id"),
            team_id=optional_id(request, "team_id"),
        )
        return paged(request, page, found, total)

    @post(guards=[requires(WRITE_ASSIGNMENTS.name)], operation_id="AssignRole")
    async def assign(
        self,
        assignments: NamedDependency[Assignments],
        principal: NamedDependency[Principal],
        data: JSONBody[AssignRole],
    ) -> AssignmentView:
        """Give a role. It counts with the next request; the caller has to hold what it bundles."""
        return await assignments.assign(data, principal)

    @delete("/{assignment_id:str}", guards=[requires(WRITE_ASSIGNMENTS.name)], operation_id="TakeRole")
    async def take(
        self,
        assignments: NamedDependency[Assignments],
        principal: NamedDependency[Principal],
        assignment_id: FromPath[str],
    ) -> None:
        """Take a role away. The next request is refused; the last owner stays."""
        await assignments.take(id_of(assignment_id, "No role assignment has this id."), principal)
