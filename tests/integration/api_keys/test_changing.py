"""Keys that are changed, rotated and ended: at once here, within moments elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from modules.api_keys import authenticator
from modules.api_keys.repositories import ApiKeyRepository
from monohull.kernel import clock
from tests.application import running_app
from tests.integration.api_keys.keyring import PATH, SERVICE, ask, changed, events, made
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg
    import httpx
    import pytest

    from monohull.kernel.home import Connections
    from tests.application import Served


async def rotate(
    served: Served, key_id: str, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    return await served.client.post(f"{PATH}/{key_id}/rotate", json=body, headers=headers or SERVICE)


async def test_rotation_leaves_time_to_hand_the_new_text_out(
    shop: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await made(shop, permissions=["data.products:read"])
    assert (await ask(shop, old["key"])).status_code == 200
    answer = await rotate(shop, old["id"], overlap_seconds=600)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    new = answer.json()
    assert (new["id"], new["permissions"]) == (old["id"], old["permissions"])
    assert new["key"] != old["key"]
    for _ in range(2):
        assert (await ask(shop, old["key"])).status_code == 200
        assert (await ask(shop, new["key"])).status_code == 200
    shown = (await shop.client.get(f"{PATH}/{old['id']}", headers=SERVICE)).json()
    assert (shown["prefix"], shown["previous_prefix"]) == (new["prefix"], old["prefix"])
    later = clock.now() + timedelta(seconds=601)
    monkeypatch.setattr(clock, "now", lambda: later)
    monkeypatch.setattr(authenticator, "CACHE_SECONDS", 0.0)
    for one in shop.runtime.authentication._authenticators:
        if isinstance(one, authenticator.KeyAuthenticator):
            one.forget(None)
    refused = await ask(shop, old["key"])
    assert (refused.status_code, "was rotated" in refused.text) == (401, True)
    assert (await ask(shop, new["key"])).status_code == 200
    shown = (await shop.client.get(f"{PATH}/{old['id']}", headers=SERVICE)).json()
    assert shown["previous_prefix"] is None
    name, payload = (await events(shop))[-1]
    assert name == "key_rotated"
    assert (payload["previous_prefix"], payload["overlap_seconds"]) == (old["prefix"], 600)


async def test_rotation_at_once_and_twice(shop: Served) -> None:
    first = await made(shop)
    second = (await rotate(shop, first["id"], overlap_seconds=600)).json()
    third = (await rotate(shop, first["id"], overlap_seconds=600)).json()
    assert [(await ask(shop, one["key"])).status_code for one in (first, second, third)] == [401, 200, 200]
    fourth = (await rotate(shop, first["id"], overlap_seconds=0)).json()
    assert [(await ask(shop, one["key"])).status_code for one in (second, third, fourth)] == [401, 401, 200]
    await shop.client.delete(f"{PATH}/{first['id']}", headers=SERVICE)
    assert (await ask(shop, fourth["key"])).status_code == 401


async def test_nobody_gets_more_by_rotating(shop: Served) -> None:
    everything = await made(shop)
    maker = {"apikey": (await made(shop, permissions=["api_keys.keys:*"]))["key"]}
    refused = await rotate(shop, everything["id"], maker)
    assert (refused.status_code, refused.json()["code"]) == (403, "beyond_own_permissions")
    changes: tuple[dict[str, Any], ...] = ({"name": "x"}, {"allowed_addresses": []}, {"permissions": []})
    for wanted in changes:
        path = f"{PATH}/{everything['id']}"
        answer = await shop.client.patch(path, json=wanted, headers=maker)
        assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own_permissions"), wanted
    public = await made(shop, kind="publishable")
    assert (await rotate(shop, public["id"], maker)).status_code == 201
    answer = await shop.client.patch(f"{PATH}/{public['id']}", json={"name": "x"}, headers=maker)
    assert answer.status_code == 200
    answer = await shop.client.patch(
        f"{PATH}/{public['id']}", json={"permissions": ["data.*"]}, headers=maker
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own_permissions")


async def test_changes_count_for_the_next_request(shop: Served) -> None:
    created = await made(shop, permissions=["data.notes:read"])
    key, key_id = created["key"], created["id"]
    assert [(await ask(shop, key)).status_code for _ in range(2)] == [403, 403]
    shown = await changed(shop, key_id, permissions=["data.products:read", "data.prodcts:read"], name="new")
    assert (shown["name"], shown["permissions"]) == ("new", ["data.prodcts:read", "data.products:read"])
    assert shown["warnings"] == [
        "There is no relation prodcts yet; until there is, data.prodcts:read allows nothing."
    ]
    assert (await ask(shop, key)).status_code == 200
    await changed(shop, key_id, allowed_addresses=["203.0.113.0/24"])
    assert (await ask(shop, key)).status_code == 403
    await changed(shop, key_id, allowed_addresses=[])
    assert (await ask(shop, key)).status_code == 200
    await changed(shop, key_id, permissions=["*"])
    assert (await ask(shop, key, "/rest/v1/rpc/who")).json()["user"] == "service_role"
    await changed(shop, key_id)
    told = [(name, payload) for name, payload in await events(shop) if name != "key_refused"]
    assert [name for name, _ in told] == ["key_created", *["key_changed"] * 4], (
        "nothing changed the last time"
    )
    assert told[1][1]["before"] == {
        "name": "deploy",
        "permissions": ["data.notes:read"],
    }
    assert told[2][1]["after"] == {"allowed_addresses": ["203.0.113.0/24"]}


async def test_what_cannot_be_changed(shop: Served) -> None:
    created = await made(shop)
    path = f"{PATH}/{created['id']}"

    async def refused(where: str, **body: Any) -> tuple[int, str]:
        answer = await shop.client.patch(where, json=body, headers=SERVICE)
        return answer.status_code, answer.json()["code"]

    assert await refused(path, kind="publishable") == (400, "invalid_request")
    assert await refused(path, user_id=str(uuid4())) == (400, "invalid_request")
    assert await refused(path, name=None) == (400, "invalid_request")
    assert await refused(path, permissions=["data.x:reed"]) == (400, "unknown_permission")
    assert await refused(path, expires_at="2020-01-01T00:00:00Z") == (400, "expiry_passed")
    assert await refused(f"{PATH}/{uuid4()}", name="x") == (404, "not_found")
    assert (await rotate(shop, str(uuid4()))).status_code == 404
    assert (await rotate(shop, created["id"], overlap_seconds=-1)).status_code == 400
    assert (await shop.client.get(f"{PATH}/{uuid4()}", headers=SERVICE)).status_code == 404
    await shop.client.delete(path, headers=SERVICE)
    assert await refused(path, name="x") == (409, "key_ended")
    assert (await rotate(shop, created["id"])).json()["code"] == "key_ended"


async def test_every_process_hears_of_it_within_moments(
    database: asyncpg.Connection,  # noqa: ARG001 filled first
    connections: Connections,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authenticator, "CACHE_SECONDS", 3600.0)
    async with running_app(connections) as here, running_app(connections) as there:
        created = await made(here)
        key = created["key"]
        for served in (here, there, here, there):
            assert (await ask(served, key)).status_code == 200

        async def becomes(status: int) -> None:
            await eventually(lambda: ask(there, key), lambda found: found.status_code == status)

        await changed(here, created["id"], allowed_addresses=["203.0.113.0/24"])
        assert (await ask(here, key)).status_code == 403
        await becomes(403)
        await changed(there, created["id"], allowed_addresses=[])
        assert (await ask(there, key)).status_code == 200
        await here.client.delete(f"{PATH}/{created['id']}", headers=SERVICE)
        assert (await ask(here, key)).status_code == 401
        await becomes(401)


async def test_a_warm_request_looks_nothing_up_and_is_noted(
    shop: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await made(shop)
    read = "/rest/v1/products?id=eq.1"
    for _ in range(2):
        assert (await ask(shop, created["key"], read)).status_code == 200
    asked: list[str] = []
    noted: list[object] = []
    find = ApiKeyRepository.find_by_hash

    async def counted(self: ApiKeyRepository, key_hash: str) -> Any:
        asked.append(key_hash)
        return await find(self, key_hash)

    monkeypatch.setattr(ApiKeyRepository, "find_by_hash", counted)
    monkeypatch.setattr("modules.api_keys.usage.Usage.note", lambda _, key_id: noted.append(key_id))
    for _ in range(5):
        assert (await ask(shop, created["key"], read)).status_code == 200
    assert (asked, len(noted)) == ([], 5)
    await changed(shop, created["id"], name="other")
    await ask(shop, created["key"], read)
    assert len(asked) == 1
