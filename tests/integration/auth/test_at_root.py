"""``MONOHULL_AUTH_AT_ROOT``: for clients that look for a GoTrue that stands alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest_asyncio

from tests.application import Served, running_app
from tests.factories.auth import PASSWORD
from tests.integration.auth.people import V2
from tests.integration.auth.post import new_email

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections


@pytest_asyncio.fixture
async def alone(connections: Connections) -> AsyncIterator[Served]:
    """The application with the routes at the root, and a setting that has no effect."""
    settings = {"auth_at_root": "true", "auth_operator_token": "super-secret-operator-token"}
    async with running_app(connections, **settings) as served:
        yield served


async def test_the_routes_of_the_wire_are_at_the_root_too(alone: Served) -> None:
    client = alone.client
    email = new_email()
    session = (await client.post("/signup", json={"email": email, "password": PASSWORD})).json()
    bearer = {"Authorization": f"Bearer {session['access_token']}"}
    for path in ("/user", "/auth/v1/user"):
        assert (await client.get(path, headers=bearer)).json()["email"] == email
    wrong: dict[str, Any] = {"email": email, "password": "wrong-horse"}
    refused = await client.post("/token?grant_type=password", json=wrong, headers=V2)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_credentials")
    assert (await client.get("/health")).json()["name"] == "GoTrue"
    assert (await client.get("/settings")).json()["disable_signup"] is False
    assert (await client.get("/admin/users", headers=V2)).json()["code"] == "no_authorization"
    assert (await client.get("/admin/nothing", headers=V2)).json()["code"] == "not_found"
    assert (await client.post("/logout", headers=bearer)).status_code == 204


async def test_what_is_at_the_root_stays(alone: Served) -> None:
    client = alone.client
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/.well-known/jwks.json")).json()["keys"]
    assert (await client.get("/rest/v1/")).status_code != 404
    assert (await client.get("/nothing")).headers["content-type"].startswith("application/problem+json")


async def test_the_root_is_the_roots_unless_the_settings_say_so(connections: Connections) -> None:
    async with running_app(connections) as served:
        assert (await served.client.post("/signup", json={})).status_code == 404
        assert (await served.client.get("/health")).status_code == 404
