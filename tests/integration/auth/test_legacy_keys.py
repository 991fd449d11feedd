"""The legacy anon and service_role keys: who uses them is known, and they can be switched off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from modules.auth.authenticator import TokenAuthenticator
from modules.auth.keys.legacy import LEGACY
from modules.auth.keys.presenters import Presenters
from modules.auth.tokens import TokenCodec
from tests.application import JWT_SECRET, anon_key, running_app, service_key

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from tests.application import Served

PERSON = {
    "sub": "00000000-0000-0000-0000-000000000001",
    "role": "authenticated",
    "aud": "authenticated",
    "exp": 4_000_000_000,
}
KEYS = "/platform/v1/api-keys"


async def ask(
    served: Served, token: str, path: str = "/rest/v1/", address: str = "127.0.0.1"
) -> httpx.Response:
    transport = httpx.ASGITransport(app=served.app, client=(address, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.get(path, headers={"apikey": token})


async def seen(served: Served) -> set[str]:
    for one in served.runtime.authentication._authenticators:
        if isinstance(one, TokenAuthenticator):
            assert one._presenters is not None
            await one._presenters.flush()
    return {name for name, _ in await Presenters(served.runtime.redis).of(LEGACY)}


async def test_who_uses_them_is_known(served: Served) -> None:
    for address in ("203.0.113.1", "203.0.113.2", "203.0.113.1"):
        assert (await ask(served, service_key(), address=address)).status_code == 200
    assert (await ask(served, anon_key())).status_code == 200
    assert (await ask(served, TokenCodec(secret=JWT_SECRET).sign(PERSON))).status_code == 200
    assert await seen(served) == {
        "service_role from 203.0.113.1, accepted",
        "service_role from 203.0.113.2, accepted",
        "anon from 127.0.0.1, accepted",
    }
    metrics = (await served.client.get("/metrics")).text
    assert 'monohull_legacy_keys_total{outcome="accepted",role="service_role"}' in metrics


async def test_they_can_be_switched_off(connections: Connections) -> None:
    async with running_app(connections) as served:
        created = await served.client.post(
            KEYS, json={"name": "successor"}, headers={"apikey": service_key()}
        )
        successor = created.json()["key"]
    async with running_app(connections, jwt_legacy_keys="false") as served:
        for _ in range(2):
            for token in (anon_key(), service_key()):
                refused = await ask(served, token)
                assert (refused.status_code, refused.json()["code"]) == (401, "legacy_key_refused")
                assert "MONOHULL_JWT_LEGACY_KEYS" in refused.json()["hint"]
                refused = await ask(served, token, KEYS)
                assert (refused.status_code, refused.json()["code"]) == (401, "legacy_key_refused")
                refused = await served.client.get(
                    "/auth/v1/user", headers={"Authorization": f"Bearer {token}"}
                )
                assert (refused.status_code, refused.json()["error_code"]) == (401, "legacy_key_refused")
        assert (await ask(served, successor)).status_code == 200
        assert (await ask(served, TokenCodec(secret=JWT_SECRET).sign(PERSON))).status_code == 200
        assert (
            await served.client.get("/auth/v1/settings", headers={"apikey": anon_key()})
        ).status_code == 200
        assert "service_role from 127.0.0.1, refused" in await seen(served)


@pytest.mark.parametrize("role", ["anon", "service_role"])
async def test_a_person_is_no_key(connections: Connections, role: str) -> None:
    async with running_app(connections, jwt_legacy_keys="false") as served:
        token = TokenCodec(secret=JWT_SECRET).sign({**PERSON, "role": role})
        assert (await ask(served, token)).status_code == 200
        assert json.loads((await ask(served, token, "/rest/v1/")).text)["swagger"] == "2.0"
