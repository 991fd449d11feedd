"""What may be done in a team; held in the team by a role there, or in all teams by one for the instance."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_TEAMS: Final = Permission("teams.teams:read", "See every team, its members and invitations.")
CREATE_TEAMS: Final = Permission("teams.teams:create", "Create teams where users may not, and for others.")
WRITE_TEAMS: Final = Permission("teams.teams:write", "Call a team otherwise.")
DELETE_TEAMS: Final = Permission("teams.teams:delete", "Delete any team; owners delete their own without it.")
WRITE_MEMBERS: Final = Permission(
    "teams.members:write",
    "Invite people into a team, remove them, and give roles there as far as one holds what they bundle.",
)

PERMISSIONS: Final = (READ_TEAMS, CREATE_TEAMS, WRITE_TEAMS, DELETE_TEAMS, WRITE_MEMBERS)
