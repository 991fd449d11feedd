"""Every query of teams."""

from __future__ import annotations

from modules.teams.repositories.invitations import InvitationRepository
from modules.teams.repositories.teams import Held, OwnRole, TeamRepository

__all__ = ["Held", "InvitationRepository", "OwnRole", "TeamRepository"]
