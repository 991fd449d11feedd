"""``/platform/v1/groups``: users who hold roles together. A group is named by its id or its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_204_NO_CONTENT

from modules.rbac.controllers.queries import text_of
from modules.rbac.dtos import CreateGroup, GroupPatch, GroupView, MemberView
from modules.rbac.permissions import READ_GROUPS, WRITE_GROUPS
from modules.rbac.services import Groups
from monohull.kernel.guards import requires
from monohull.kernel.pages import id_of, page_of, paged
from monohull.kernel.principal import Principal

NO_USER = "No user has this id."


class GroupsController(Controller):
    path = "/groups"
    tags = ("Access",)

    @get(guards=[requires(READ_GROUPS.name)], operation_id="ListGroups")
    async def show(
        self, request: Request[Any, Any, Any], groups: NamedDependency[Groups]
    ) -> Response[Sequence[GroupView]]:
        """List groups by name; ``q`` is looked for in names and summaries."""
        page = page_of(request)
        found, total = await groups.page(page, text_of(request, "q"))
        return paged(request, page, found, total)

    @post(guards=[requires(WRITE_GROUPS.name)], operation_id="CreateGroup")
    async def create(self, groups: NamedDependency[Groups], data: JSONBody[CreateGroup]) -> GroupView:
        """Create a group, which holds nothing yet."""
        return await groups.create(data)

    @get("/{group:str}", guards=[requires(READ_GROUPS.name)], operation_id="GetGroup")
    async def one(self, groups: NamedDependency[Groups], group: FromPath[str]) -> GroupView:
        """Show one group."""
        return await groups.get(group)

    @patch("/{group:str}", guards=[requires(WRITE_GROUPS.name)], operation_id="UpdateGroup")
    async def change(
        self, groups: NamedDependency[Groups], group: FromPath[str], data: JSONBody[GroupPatch]
    ) -> GroupView:
        """Call or describe a group otherwise."""
        return await groups.change(group, data)

    @delete("/{group:str}", guards=[requires(WRITE_GROUPS.name)], operation_id="DeleteGroup")
    async def end(
        self, groups: NamedDependency[Groups], principal: NamedDependency[Principal], group: FromPath[str]
    ) -> None:
        """Delete a group; its members lose at once what they held through it."""
        await groups.delete(group, principal)

    @get("/{group:str}/members", guards=[requires(READ_GROUPS.name)], operation_id="ListGroupMembers")
    async def members(
        self, request: Request[Any, Any, Any], groups: NamedDependency[Groups], group: FromPath[str]
    ) -> Response[Sequence[MemberView]]:
        """List who is in a group, the first who came first."""
        page = page_of(request)
        found, total = await groups.members(group, page)
        return paged(request, page, found, total)

    @put(
        "/{group:str}/members/{user_id:str}",
        guards=[requires(WRITE_GROUPS.name)],
        operation_id="AddGroupMember",
        status_code=HTTP_204_NO_CONTENT,
    )
    async def add(
        self,
        groups: NamedDependency[Groups],
        principal: NamedDependency[Principal],
        group: FromPath[str],
        user_id: FromPath[str],
    ) -> None:
        """Put a user into a group; the caller has to hold what the group holds."""
        await groups.add(group, id_of(user_id, NO_USER), principal)

    @delete(
        "/{group:str}/members/{user_id:str}",
        guards=[requires(WRITE_GROUPS.name)],
        operation_id="RemoveGroupMember",
    )
    async def remove(
        self,
        groups: NamedDependency[Groups],
        principal: NamedDependency[Principal],
        group: FromPath[str],
        user_id: FromPath[str],
    ) -> None:
        """Take a user out of a group."""
        await groups.remove(group, id_of(user_id, "The user is not in this group."), principal)
