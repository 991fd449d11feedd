"""Keys over ``/platform/v1/api-keys``, and as credentials."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import pytest

from modules.api_keys import authenticator, usage
from modules.api_keys.opaque import generate
from monohull.kernel import clock
from monohull.kernel.authentication import Credentials
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.ids import hash_token
from monohull.kernel.principal import PrincipalKind
from tests.application import anon_key, running_app, service_key
from tests.factories.api_keys import CreateKeyFactory
from tests.patience import eventually

if TYPE_CHECKING:
    import httpx

    from monohull.kernel.home import Connections
    from monohull.kernel.principal import Principal
    from tests.application import Served

PATH = "/platform/v1/api-keys"
SERVICE = {"apikey": service_key()}


async def make(served: Served, headers: dict[str, str] | None = None, **wanted: Any) -> httpx.Response:
    body = msgspec.to_builtins(CreateKeyFactory.build()) | wanted
    return await served.client.post(PATH, json=body, headers=headers or SERVICE)


async def who(served: Served, **credentials: str) -> Principal:
    return await served.runtime.authentication.authenticate(Credentials(**credentials))


async def test_a_key_is_shown_once_and_stored_as_a_hash(served: Served) -> None:
    created = await make(served, name="ci")
    assert created.status_code == 201
    assert created.headers["cache-control"] == "no-store"
    key = created.json()["key"]
    (shown,) = (await served.client.get(PATH, headers=SERVICE)).json()
    assert "key" not in shown
    assert "hash" not in shown
    assert (shown["name"], shown["kind"], shown["role"], shown["permissions"]) == (
        "ci",
        "secret",
        "service_role",
        ["*"],
    )
    assert key.startswith(shown["prefix"])
    assert shown["created_by"] == "service"
    async with served.runtime.database.connection() as connection:
        (row,) = await connection.fetch("select * from monohull.api_keys")
        events = await connection.fetch("select name, payload from monohull.outbox")
    assert row["hash"] == hash_token(key)
    assert key not in repr(row)
    assert [event["name"] for event in events] == ["api_keys.key_created"]
    assert key not in repr(events)
    assert hash_token(key) not in repr(events)


@pytest.mark.parametrize("header", ["apikey", "Authorization"])
async def test_a_secret_key_opens_what_it_may(served: Served, header: str) -> None:
    key = (await make(served)).json()["key"]
    value = key if header == "apikey" else f"Bearer {key}"
    assert (await served.client.get(PATH, headers={header: value})).status_code == 200


async def test_principals_of_keys(served: Served) -> None:
    secret = (await make(served)).json()
    public = (await make(served, kind="publishable")).json()
    limited = (await make(served, permissions=["api_keys.keys:read"])).json()
    found = await who(served, bearer=secret["key"], apikey=public["key"])
    assert (found.kind, found.role, found.key_id) == (PrincipalKind.KEY, "service_role", secret["id"])
    assert found.claims == {"role": "service_role"}
    found = await who(served, apikey=public["key"])
    assert (found.role, found.permissions, found.is_default) == ("anon", frozenset(), False)
    found = await who(served, apikey=limited["key"])
    assert (found.role, found.permissions) == ("anon", frozenset({"api_keys.keys:read"}))
    assert (await who(served, apikey=public["key"], bearer=anon_key())).key_id is None


async def test_a_limited_key_is_told_what_it_lacks(served: Served) -> None:
    key = (await make(served, permissions=["api_keys.keys:read"])).json()["key"]
    assert (await served.client.get(PATH, headers={"apikey": key})).status_code == 200
    refused = await make(served, {"apikey": key})
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert "api_keys.keys:write" in refused.json()["detail"]


async def test_nobody_gives_what_they_do_not_have(served: Served) -> None:
    key = (await make(served, permissions=["api_keys.keys:write"])).json()["key"]
    for permissions in (None, ["*"], ["api_keys.*"], ["api_keys.keys:*"], ["api_keys.keys:read"]):
        refused = await make(served, {"apikey": key}, permissions=permissions)
        assert (refused.status_code, refused.json()["code"]) == (403, "beyond_own_permissions")
    assert (await make(served, {"apikey": key}, permissions=["api_keys.keys:write"])).status_code == 201
    assert (await make(served, {"apikey": key}, kind="publishable")).status_code == 201


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"permissions": ["no.such:thing"]}, 400, "unknown_permission"),
    ({"permissions": [""]}, 400, "unknown_permission"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, 400, "expiry_passed"),
    ({"expires_at": "2090-01-01T00:00:00"}, 400, "invalid_request"),
    ({"expires_at": "soon"}, 400, "invalid_request"),
    ({"name": ""}, 400, "invalid_request"),
    ({"name": "a\0"}, 400, "invalid_request"),
    ({"name": "x" * 101}, 400, "invalid_request"),
    ({"kind": "master"}, 400, "invalid_request"),
    ({"role": "postgres"}, 400, "invalid_request"),
]


async def test_bodies_that_are_refused(served: Served) -> None:
    for wanted, status, code in REFUSED:
        answer = await make(served, **wanted)
        assert (answer.status_code, answer.json()["code"]) == (status, code), wanted


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"apikey": anon_key()}, 403), ({"apikey": "sb_secret_x"}, 401)]
)
async def test_every_route_is_guarded(served: Served, headers: dict[str, str], status: int) -> None:
    for method, path in (("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/{uuid4()}")):
        answer = await served.client.request(method, path, headers=headers)
        assert answer.status_code == status, (method, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_revoked_key_is_refused_by_every_process_within_seconds(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "CACHE_SECONDS", 0.3)
    async with running_app(connections) as here, running_app(connections) as there:
        created = (await make(here)).json()
        headers = {"apikey": created["key"]}
        for served in (here, there):
            assert (await served.client.get(PATH, headers=headers)).status_code == 200
        for _ in range(2):
            ended = await here.client.delete(f"{PATH}/{created['id']}", headers=SERVICE)
            assert (ended.status_code, ended.content) == (204, b"")
        await asyncio.sleep(0.35)
        for served in (here, there):
            refused = await served.client.get(PATH, headers=headers)
            assert refused.status_code == 401
            assert refused.json()["detail"] == "The API key was revoked"
        assert (await here.client.get(PATH, headers=SERVICE)).json() == []
        (shown,) = (await here.client.get(f"{PATH}?revoked=true", headers=SERVICE)).json()
        assert shown["revoked_at"] is not None


async def test_a_key_ends_at_its_time_even_while_remembered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = clock.now() + timedelta(seconds=60)
    created = (await make(served, expires_at=expires_at.isoformat())).json()
    await who(served, apikey=created["key"])
    monkeypatch.setattr(clock, "now", lambda: expires_at)
    with pytest.raises(InvalidCredential) as caught:
        await who(served, apikey=created["key"])
    assert caught.value.reason == "expired"


@pytest.mark.parametrize(
    ("key", "reason"),
    [("sb_secret_", "malformed"), ("sb_publishable_x_y", "malformed"), (generate("secret"), "unknown")],
    ids=["empty", "short", "unknown"],
)
async def test_keys_that_nobody_made(served: Served, key: str, reason: str) -> None:
    for _ in range(2):
        with pytest.raises(InvalidCredential) as caught:
            await who(served, apikey=key)
        assert caught.value.reason == reason


async def test_unknown_ids(served: Served) -> None:
    for path in ("x", str(uuid4())):
        answer = await served.client.delete(f"{PATH}/{path}", headers=SERVICE)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_last_use_is_written_in_the_background(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    created = (await make(served)).json()
    uses = usage.Usage(served.runtime.database, served.runtime.observer)

    async def last_used() -> Any:
        async with served.runtime.database.connection() as connection:
            return await connection.fetchval("select last_used_at from monohull.api_keys")

    key_id = msgspec.convert(created["id"], type=type(uuid4()))
    await uses.flush()
    uses.note(key_id)
    assert await last_used() is None
    monkeypatch.setattr(usage, "FLUSH_SECONDS", 0.01)
    async with uses.running():
        await eventually(lambda: uses._written_at)
        first = await last_used()
        assert first is not None
        uses.note(key_id)  # within the minute: not worth a write
        await asyncio.sleep(0.1)
    assert await last_used() == first


async def test_the_end_of_the_process_writes_what_is_left(connections: Connections) -> None:
    async with running_app(connections) as served:
        created = (await make(served)).json()
        await who(served, apikey=created["key"])
    async with running_app(connections) as served:
        (shown,) = (await served.client.get(PATH, headers=SERVICE)).json()
        assert shown["last_used_at"] is not None
