"""Decisions about teams, their members and who is invited."""

from __future__ import annotations

from modules.teams.services.active import ActiveTeams
from modules.teams.services.invitations import TeamInvitations
from modules.teams.services.members import Members
from modules.teams.services.received import Received
from modules.teams.services.teams import Teams

__all__ = ["ActiveTeams", "Members", "Received", "TeamInvitations", "Teams"]
