"""Guards: what a route demands of the principal.

`requires` is the guard; `public` is the explicit mark of a route that demands
nothing. A test walks the route table and fails on a route with neither, so
that forgetting is impossible. The raw ASGI paths call `demand` themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from monohull.kernel.errors import Forbidden, Unauthenticated
from monohull.kernel.permissions import grants
from monohull.kernel.principal import Principal, PrincipalKind

Guard: TypeAlias = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]

PUBLIC: Final = "public"
"""Key of the route's ``opt`` that says: anybody may call this, on purpose."""

REQUIRED: Final = "requires"
"""Attribute of a guard made by `requires`: the permission it demands."""


def demand(principal: Principal, permission: str) -> None:
    """Let ``principal`` pass when it holds ``permission``.

    Raises:
        Unauthenticated: 401, nobody is signed in.
        Forbidden: 403, somebody is, and may not.
    """
    if grants(principal.permissions, permission):
        return
    if principal.is_default:
        raise Unauthenticated(f"This needs the permission {permission}.")
    raise Forbidden(
        f"This needs the permission {permission}.",
        hint=f"Ask an administrator for a role that includes {permission}, or use a key that has it.",
    )


def requires(permission: str) -> Guard:
    """Return a Litestar guard that demands ``permission`` of the principal."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        demand(principal_of(connection), permission)

    setattr(guard, REQUIRED, permission)
    return guard


def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Demand a person: a principal with a subject, whatever its permissions.

    An API key acts for its owner on data. It may not change the owner's password or end its sessions.
    """
    principal = principal_of(connection)
    if principal.subject is None:
        raise Unauthenticated("This needs a signed-in user.")
    if principal.kind is PrincipalKind.KEY:
        raise Forbidden("An API key cannot stand in for its owner here.", hint="Sign in as the user.")


def public() -> dict[str, Any]:
    """Return the ``opt`` of a route that anybody may call."""
    return {PUBLIC: True}


def principal_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    """Return the principal that authentication left in the scope.

    Raises:
        InvalidCredential: 401, the request brought a credential that does not hold.
    """
    state: dict[str, Any] = connection.scope["state"]
    if (problem := state.get("credential_problem")) is not None:
        raise problem
    principal: Principal = state["principal"]
    return principal
