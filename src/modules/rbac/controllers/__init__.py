"""``/platform/v1/roles``, ``/permissions``, ``/groups`` and ``/role-assignments``."""

from __future__ import annotations

from modules.rbac.controllers.assignments import AssignmentsController
from modules.rbac.controllers.columns import ColumnsController
from modules.rbac.controllers.groups import GroupsController
from modules.rbac.controllers.permissions import PermissionsController
from modules.rbac.controllers.roles import RolesController

__all__ = ["CONTROLLERS"]

CONTROLLERS = (
    RolesController,
    ColumnsController,
    PermissionsController,
    GroupsController,
    AssignmentsController,
)
