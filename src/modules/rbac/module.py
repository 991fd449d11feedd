"""The plug of rbac."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.rbac.events import ACCESS_EVENTS
from modules.rbac.looks import look
from modules.rbac.permissions import PERMISSIONS
from modules.rbac.services import Assignments, Columns, Groups, PermissionCatalogue, Roles
from modules.rbac.services.changes import Changes
from modules.rbac.source import RoleSource
from modules.rbac.watch import AccessWatch
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    import click

    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what rbac contributes to one process."""
    from modules.rbac.controllers import CONTROLLERS  # noqa: PLC0415 the API alone serves them

    watch = AccessWatch(runtime.database, runtime.broker, runtime.grants, runtime.observer)
    changes = Changes(runtime.database, watch.announce)
    roles = Roles(runtime.database, changes, runtime.permissions)
    catalogue = PermissionCatalogue(runtime.database, changes, runtime.permissions)
    columns = Columns(runtime.database, changes)
    groups = Groups(runtime.database, changes)
    assignments = Assignments(runtime.database, changes)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=list(CONTROLLERS)),),
        dependencies={
            "roles": lambda: roles,
            "catalogue": lambda: catalogue,
            "columns": lambda: columns,
            "groups": lambda: groups,
            "assignments": lambda: assignments,
        },
        grants=RoleSource(runtime.database, runtime.grants),
        lifespans=(watch.running,),
    )


def cli() -> click.Group:
    """Return ``monohull roles``."""
    from modules.rbac.cli import roles  # noqa: PLC0415 start-up time

    return roles


module = Module(
    name="rbac",
    permissions=PERMISSIONS,
    events=ACCESS_EVENTS,
    cli={"roles": cli},
    parts=parts,
    looks={"columns": look},
)
