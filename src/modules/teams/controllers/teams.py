"""``/platform/v1/teams``: organisations and their owners.

A guard lets every user in person pass; what that user may is asked of the
team, so that one somebody is not in looks like one that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_204_NO_CONTENT

from modules.teams.dtos import CreateTeam, TeamPatch, TeamView, Transfer
from modules.teams.guards import in_team
from modules.teams.permissions import CREATE_TEAMS, DELETE_TEAMS, READ_TEAMS, WRITE_MEMBERS, WRITE_TEAMS
from modules.teams.services import Teams
from modules.teams.services.standing import ABSENT
from monohull.kernel.pages import id_of, page_of, paged
from monohull.kernel.principal import Principal


class TeamsController(Controller):
    path = "/teams"
    tags = ("Teams",)

    @get(guards=[in_team(READ_TEAMS)], operation_id="ListTeams")
    async def show(
        self,
        request: Request[Any, Any, Any],
        teams: NamedDependency[Teams],
        principal: NamedDependency[Principal],
        all_teams: FromQuery[bool] = False,
    ) -> Response[Sequence[TeamView]]:
        """List the teams that the caller is in, by name, with the caller's roles in each.

        With ``all_teams`` every team there is, for who holds ``teams.teams:read``.
        """
        page = page_of(request)
        found, total = await teams.page(page, principal, all_=all_teams)
        return paged(request, page, found, total)

    @post(guards=[in_team(CREATE_TEAMS)], operation_id="CreateTeam")
    async def create(
        self, teams: NamedDependency[Teams], principal: NamedDependency[Principal], data: JSONBody[CreateTeam]
    ) -> TeamView:
        """Create a team. The caller is its owner; with ``teams.teams:create`` somebody else may be."""
        return await teams.create(data, principal)

    @get("/{team_id:str}", guards=[in_team(READ_TEAMS)], operation_id="GetTeam")
    async def one(
        self, teams: NamedDependency[Teams], principal: NamedDependency[Principal], team_id: FromPath[str]
    ) -> TeamView:
        """Show a team that the caller is in."""
        return await teams.get(id_of(team_id, ABSENT), principal)

    @patch("/{team_id:str}", guards=[in_team(WRITE_TEAMS)], operation_id="UpdateTeam")
    async def change(
        self,
        teams: NamedDependency[Teams],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
        data: JSONBody[TeamPatch],
    ) -> TeamView:
        """Call a team otherwise; needs ``teams.teams:write`` in it."""
        return await teams.change(id_of(team_id, ABSENT), data, principal)

    @delete("/{team_id:str}", guards=[in_team(DELETE_TEAMS)], operation_id="DeleteTeam")
    async def end(
        self, teams: NamedDependency[Teams], principal: NamedDependency[Principal], team_id: FromPath[str]
    ) -> None:
        """Delete a team with its memberships and invitations; its owners may."""
        await teams.delete(id_of(team_id, ABSENT), principal)

    @put(
        "/{team_id:str}/owner",
        guards=[in_team(WRITE_MEMBERS)],
        operation_id="TransferTeam",
        status_code=HTTP_204_NO_CONTENT,
    )
    async def transfer(
        self,
        teams: NamedDependency[Teams],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
        data: JSONBody[Transfer],
    ) -> None:
        """Make another member owner; the caller, who was, is admin from now on."""
        await teams.transfer(id_of(team_id, ABSENT), data.user_id, principal)
