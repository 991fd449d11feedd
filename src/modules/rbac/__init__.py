"""Who may do what: roles that bundle permissions, and who holds them.

A role is held by a user, a key or a group, for the whole instance or in one
team. What a principal holds is asked for by the kernel (`kernel.grants`) and by
policies in SQL (``monohull.has_permission()``), from the same tables. Neighbours
meet roles as `Principal.permissions`.
"""

from __future__ import annotations

from modules.rbac.errors import BeyondOwnRoles, LastTeamOwner
from modules.rbac.events import (
    ACCESS_EVENTS,
    RoleAssigned,
    RoleColumnsFreed,
    RoleColumnsLimited,
    RoleCreated,
    RoleDeleted,
    RoleTaken,
    RoleUpdated,
)
from modules.rbac.models import OWNER_ID, Role, RoleAssignment, Team
from modules.rbac.permissions import demand_held
from modules.rbac.reach import demand_reach
from modules.rbac.repositories import AccessRepository, ColumnsRepository, RoleRepository
from modules.rbac.services.roles import get_role
from modules.rbac.source import RoleSource

__all__ = [
    "ACCESS_EVENTS",
    "OWNER_ID",
    "AccessRepository",
    "BeyondOwnRoles",
    "ColumnsRepository",
    "LastTeamOwner",
    "Role",
    "RoleAssigned",
    "RoleAssignment",
    "RoleColumnsFreed",
    "RoleColumnsLimited",
    "RoleCreated",
    "RoleDeleted",
    "RoleRepository",
    "RoleSource",
    "RoleTaken",
    "RoleUpdated",
    "Team",
    "demand_held",
    "demand_reach",
    "get_role",
]
