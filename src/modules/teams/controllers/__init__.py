"""``/platform/v1/teams``, ``/team-invitations`` and ``/active-team``."""

from __future__ import annotations

from modules.teams.controllers.active import ActiveTeamController
from modules.teams.controllers.invitations import InvitationsController
from modules.teams.controllers.members import MembersController
from modules.teams.controllers.received import ReceivedController
from modules.teams.controllers.teams import TeamsController

__all__ = ["CONTROLLERS"]

CONTROLLERS = (
    TeamsController,
    MembersController,
    InvitationsController,
    ReceivedController,
    ActiveTeamController,
)
