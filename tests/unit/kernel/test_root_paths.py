"""Which requests a wire at the root is given, and how they get there."""

from __future__ import annotations

from typing import Any

import pytest

from monohull.kernel.root_paths import RootPaths

TAKEN = (
    "/auth/v1/health",
    "/auth/v1/signup",
    "/auth/v1/admin/users/{user_id}",
    "/auth/v1/.well-known/jwks.json",
    "/auth/v1/.well-known/oauth-authorization-server",
    "/health/live",
    "/.well-known/jwks.json",
    "/platform/v1/tasks",
    "/rest/v1",
)


async def led(path: str, **more: Any) -> dict[str, Any]:
    reached: list[dict[str, Any]] = []

    async def inner(scope: Any, *_: Any) -> None:
        reached.append(scope)

    await RootPaths(inner, "/auth/v1", TAKEN)({"type": "http", "path": path, **more}, None, None)  # type: ignore[arg-type]
    return reached[0]


@pytest.mark.parametrize(
    "path",
    ["/signup", "/signup/", "/signup/more", "/admin/users/1", "/admin/nothing", "/health", "/health/"],
)
async def test_routes_of_the_wire_are_led_below_it(path: str) -> None:
    assert (await led(path))["path"] == f"/auth/v1{path}"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/health/live",
        "/health/other",
        "/.well-known/jwks.json",
        "/platform/v1/tasks",
        "/rest/v1/signup",
        "/auth/v1/signup",
        "/signups",
        "/nothing",
    ],
)
async def test_all_others_go_where_they_went(path: str) -> None:
    assert (await led(path))["path"] == path


async def test_the_raw_path_follows() -> None:
    scope = await led("/admin/users/a b", raw_path=b"/admin/users/a%20b")
    assert scope["raw_path"] == b"/auth/v1/admin/users/a%20b"


async def test_sockets_are_left_alone() -> None:
    assert (await led("/signup", type="websocket"))["path"] == "/signup"
