"""``/platform/v1/active-team``: the team that the caller's session works in."""

from __future__ import annotations

from litestar import Controller, delete, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from modules.teams.dtos import ActiveTeam, TeamView
from modules.teams.services import ActiveTeams
from monohull.kernel.guards import signed_in
from monohull.kernel.principal import Principal


class ActiveTeamController(Controller):
    path = "/active-team"
    tags = ("Teams",)
    guards = (signed_in,)

    @get(operation_id="GetActiveTeam")
    async def one(
        self, active_teams: NamedDependency[ActiveTeams], principal: NamedDependency[Principal]
    ) -> TeamView:
        """Show the team that this session works in."""
        return await active_teams.get(principal)

    @put(operation_id="SwitchTeam")
    async def switch(
        self,
        active_teams: NamedDependency[ActiveTeams],
        principal: NamedDependency[Principal],
        data: JSONBody[ActiveTeam],
    ) -> TeamView:
        """Work in another team of the caller's.

        ``monohull.active_team()`` says so at once, ``app_metadata.active_team`` of tokens from the
        next refresh on. Other sessions of the user stay where they are.
        """
        return await active_teams.switch(data.team_id, principal)

    @delete(operation_id="LeaveActiveTeam")
    async def leave(
        self, active_teams: NamedDependency[ActiveTeams], principal: NamedDependency[Principal]
    ) -> None:
        """Work in no team."""
        await active_teams.leave(principal)
