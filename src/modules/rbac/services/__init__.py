"""Decisions about roles, groups and who holds what."""

from __future__ import annotations

from modules.rbac.services.assignments import Assignments
from modules.rbac.services.catalogue import PermissionCatalogue
from modules.rbac.services.columns import Columns
from modules.rbac.services.groups import Groups
from modules.rbac.services.roles import Roles

__all__ = ["Assignments", "Columns", "Groups", "PermissionCatalogue", "Roles"]
