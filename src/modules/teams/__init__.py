"""Teams: organisations of the application, who is in them and who owns them, at ``/platform/v1/teams``.

A member holds a role in the team (`modules.rbac`), so policies see membership as ``monohull.teams()`` and
the team somebody works in as ``monohull.active_team()``. Neighbours hear of teams by events.
"""

from __future__ import annotations

from modules.teams.events import (
    TEAM_EVENTS,
    TeamCreated,
    TeamDeleted,
    TeamMemberJoined,
    TeamMemberLeft,
    TeamTransferred,
    TeamUpdated,
)

__all__ = [
    "TEAM_EVENTS",
    "TeamCreated",
    "TeamDeleted",
    "TeamMemberJoined",
    "TeamMemberLeft",
    "TeamTransferred",
    "TeamUpdated",
]
