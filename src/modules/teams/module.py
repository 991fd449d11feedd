"""The plug of teams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth import build_mailing
from modules.teams.events import TEAM_EVENTS
from modules.teams.jobs import CRONS, purge_invitations
from modules.teams.permissions import PERMISSIONS
from modules.teams.services import ActiveTeams, Members, Received, TeamInvitations, Teams
from modules.teams.settings import TeamsSettings
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    import click

    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what teams contributes to one process."""
    from modules.teams.controllers import CONTROLLERS  # noqa: PLC0415 the API alone serves them

    database, settings = runtime.database, runtime.settings.of(TeamsSettings)
    teams, members = Teams(database, settings), Members(database)
    invitations, received = (
        TeamInvitations(database, build_mailing(runtime), settings),
        Received(database),
    )
    active = ActiveTeams(database)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=list(CONTROLLERS)),),
        dependencies={
            "teams": lambda: teams,
            "members": lambda: members,
            "team_invitations": lambda: invitations,
            "received": lambda: received,
            "active_teams": lambda: active,
        },
    )


def teams_cli() -> click.Group:
    """Return ``monohull teams``."""
    from modules.teams.cli import teams  # noqa: PLC0415 start-up time

    return teams


def tenant_cli() -> click.Group:
    """Return ``monohull tenant``."""
    from modules.teams.tenant_cli import tenant  # noqa: PLC0415 start-up time

    return tenant


module = Module(
    name="teams",
    requires=("rbac", "auth"),
    settings=TeamsSettings,
    permissions=PERMISSIONS,
    events=TEAM_EVENTS,
    jobs=(purge_invitations,),
    cron=CRONS,
    cli={"teams": teams_cli, "tenant": tenant_cli},
    parts=parts,
)
