"""Guards of what may be held in one team alone."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from modules.teams.services.standing import demand_own_session
from monohull.kernel.guards import REQUIRED, Guard, demand, principal_of
from monohull.kernel.permissions import Permission, grants
from monohull.kernel.principal import PrincipalKind


def in_team(permission: Permission) -> Guard:
    """Return a guard that lets pass who holds ``permission`` for the instance, and every user in person.

    Which team it is about is known to the service alone, and so is what a user holds there.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        principal = principal_of(connection)
        if grants(principal.permissions, permission.name):
            return
        if principal.kind is not PrincipalKind.USER or principal.subject is None:
            demand(principal, permission.name)
        demand_own_session(principal)

    setattr(guard, REQUIRED, permission.name)
    return guard
