"""``MONOHULL_AUTH_PASSWORD_FREQUENT_REFUSED``: what everybody tries first is nobody's password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.application import running_app, service_key
from tests.integration.auth.people import V2, People
from tests.integration.auth.post import new_email

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

ADMIN = {"Authorization": f"Bearer {service_key()}", **V2}
FREQUENT = "Password123"
WEAK = {"reasons": ["pwned"]}


@pytest.mark.parametrize(
    ("settings", "is_refused"),
    [
        ({}, False),
        ({"auth_password_frequent_refused": "true"}, True),
        ({"env": "production"}, True),
        ({"env": "production", "auth_password_frequent_refused": "false"}, False),
    ],
)
async def test_production_refuses_them_and_others_on_demand(
    connections: Connections, settings: dict[str, str], *, is_refused: bool
) -> None:
    async with running_app(connections, **settings) as served:
        answer = await served.client.post(
            "/auth/v1/admin/users", json={"email": new_email(), "password": FREQUENT}, headers=ADMIN
        )
    if not is_refused:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert answer.json()["weak_password"] == WEAK


async def test_neither_at_sign_up_nor_later(connections: Connections) -> None:
    async with running_app(connections, auth_password_frequent_refused="true") as served:
        body = {"email": new_email(), "password": FREQUENT}
        refused = await served.client.post("/auth/v1/signup", json=body, headers=V2)
        person = await People(served).sign_up()
        headers = {**person.bearer, **V2}
        later = await served.client.put("/auth/v1/user", json={"password": FREQUENT}, headers=headers)
        taken = await served.client.put("/auth/v1/user", json={"password": "another-horse"}, headers=headers)
    for answer in (refused, later):
        assert (answer.status_code, answer.json()["weak_password"]) == (422, WEAK)
    assert taken.status_code == 200
