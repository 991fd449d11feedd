"""``/platform/v1/teams/{team}/members``: who is in a team, with which roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_204_NO_CONTENT

from modules.teams.dtos import MemberRole, TeamMember
from modules.teams.guards import in_team
from modules.teams.permissions import READ_TEAMS, WRITE_MEMBERS
from modules.teams.services import Members
from modules.teams.services.standing import ABSENT, NOT_A_MEMBER
from monohull.kernel.pages import id_of, page_of, paged
from monohull.kernel.principal import Principal


class MembersController(Controller):
    path = "/teams/{team_id:str}/members"
    tags = ("Teams",)

    @get(guards=[in_team(READ_TEAMS)], operation_id="ListTeamMembers")
    async def show(
        self,
        request: Request[Any, Any, Any],
        members: NamedDependency[Members],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
    ) -> Response[Sequence[TeamMember]]:
        """List who is in a team, the first who came first. Addresses are for those who may change members."""
        page = page_of(request)
        found, total = await members.page(id_of(team_id, ABSENT), page, principal)
        return paged(request, page, found, total)

    @put(
        "/{user_id:str}",
        guards=[in_team(WRITE_MEMBERS)],
        operation_id="SetTeamRole",
        status_code=HTTP_204_NO_CONTENT,
    )
    async def set_role(
        self,
        members: NamedDependency[Members],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
        user_id: FromPath[str],
        data: JSONBody[MemberRole],
    ) -> None:
        """Give a member another role; needs ``teams.members:write`` in the team.

        Who holds that for the instance may put anybody into a team. Everybody else invites.
        """
        team, user = id_of(team_id, ABSENT), id_of(user_id, NOT_A_MEMBER)
        await members.set_role(team, user, data.role, principal)

    @delete("/{user_id:str}", guards=[in_team(WRITE_MEMBERS)], operation_id="RemoveTeamMember")
    async def remove(
        self,
        members: NamedDependency[Members],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
        user_id: FromPath[str],
    ) -> None:
        """Take a user out of a team; everybody may leave, but for the last owner."""
        await members.remove(id_of(team_id, ABSENT), id_of(user_id, NOT_A_MEMBER), principal)
