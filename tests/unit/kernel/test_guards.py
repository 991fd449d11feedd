"""Guards: who passes, who is nobody, who is somebody and may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from litestar import Litestar, get
from litestar.connection import ASGIConnection

from monohull.kernel.errors import Forbidden, InvalidCredential, Problem, Unauthenticated
from monohull.kernel.guards import PUBLIC, REQUIRED, demand, principal_of, public, requires, signed_in
from monohull.kernel.principal import SYSTEM, Principal, PrincipalKind, anonymous

if TYPE_CHECKING:
    from litestar.handlers import BaseRouteHandler

NOBODY = anonymous("anon")
USER = Principal(
    kind=PrincipalKind.USER, role="authenticated", subject="u1", permissions=frozenset({"storage.*"})
)
ANON_KEY = Principal(kind=PrincipalKind.ANONYMOUS, role="anon")
HANDLER = cast("BaseRouteHandler", None)


def connection(principal: Principal, problem: Problem | None = None) -> ASGIConnection[Any, Any, Any, Any]:
    state = {"principal": principal} | ({} if problem is None else {"credential_problem": problem})
    scope: Any = {"type": "http", "headers": [], "state": state, "path": "/"}
    return ASGIConnection(scope)


def test_a_principal_with_the_permission_passes() -> None:
    demand(USER, "storage.objects:write")
    demand(SYSTEM, "anything.at_all:yes")
    requires("storage.objects:write")(connection(USER), HANDLER)


def test_nobody_is_asked_to_sign_in() -> None:
    with pytest.raises(Unauthenticated, match=r"needs the permission storage\.objects:write"):
        requires("storage.objects:write")(connection(NOBODY), HANDLER)


@pytest.mark.parametrize("principal", [USER, ANON_KEY])
def test_somebody_without_the_permission_may_not(principal: Principal) -> None:
    with pytest.raises(Forbidden) as caught:
        requires("platform.keys:write")(connection(principal), HANDLER)
    assert "platform.keys:write" in (caught.value.hint or "")


def test_signed_in_is_a_person() -> None:
    signed_in(connection(USER), HANDLER)
    for principal in (NOBODY, ANON_KEY, SYSTEM):
        with pytest.raises(Unauthenticated, match="signed-in user"):
            signed_in(connection(principal), HANDLER)


def test_a_key_is_no_person_though_it_acts_for_one() -> None:
    key = Principal(kind=PrincipalKind.KEY, role="authenticated", subject="u1", permissions=frozenset({"*"}))
    with pytest.raises(Forbidden, match="cannot stand in for its owner"):
        signed_in(connection(key), HANDLER)


def test_a_credential_that_does_not_hold_passes_no_guard() -> None:
    """Even where the assumed principal would: whoever sends a bad token wants to hear of it."""
    bad = connection(USER, InvalidCredential("The token has expired.", reason="expired"))
    for guard in (requires("storage.objects:write"), signed_in):
        with pytest.raises(InvalidCredential, match="expired"):
            guard(bad, HANDLER)
    with pytest.raises(InvalidCredential):
        principal_of(bad)


def test_a_route_shows_what_it_demands() -> None:
    @get("/a", guards=[requires("storage.objects:write")])
    async def guarded() -> None: ...

    @get("/b", opt=public())
    async def open_to_all() -> None: ...

    routes = {handler.handler_name: handler for handler in handlers(Litestar([guarded, open_to_all]))}
    demanded = [getattr(guard, REQUIRED, None) for guard in routes["guarded"].guards or ()]
    assert demanded == ["storage.objects:write"]
    assert routes["open_to_all"].opt[PUBLIC] is True


def handlers(app: Litestar) -> list[BaseRouteHandler]:
    return [handler for route in app.routes for handler in getattr(route, "route_handlers", ())]
