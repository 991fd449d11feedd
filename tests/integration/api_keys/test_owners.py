"""Keys that act as a user: on data as that user, within their scopes, and nowhere else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from modules.api_keys import authenticator
from tests.integration.api_keys.keyring import PATH, SERVICE, ask, events, made, make

if TYPE_CHECKING:
    import asyncpg

    from tests.application import Served

ADMIN = "/auth/v1/admin/users"


async def person(served: Served, name: str, **more: Any) -> str:
    body = {
        "email": f"{name}@example.com",
        "password": "correct horse battery",
        "email_confirm": True,
        **more,
    }
    answer = await served.client.post(
        ADMIN, json=body, headers={"Authorization": f"Bearer {SERVICE['apikey']}"}
    )
    assert answer.status_code == 200, answer.text
    user_id: str = answer.json()["id"]
    return user_id


async def administer(served: Served, method: str, user_id: str, **body: Any) -> None:
    headers = {"Authorization": f"Bearer {SERVICE['apikey']}"}
    answer = await served.client.request(method, f"{ADMIN}/{user_id}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_requests_see_what_the_owner_sees(database: asyncpg.Connection, shop: Served) -> None:
    ada = await person(shop, "ada", app_metadata={"plan": "pro"}, user_metadata={"name": "Ada"})
    grace = await person(shop, "grace")
    await database.execute(f"insert into notes values (1, '{ada}', 'of Ada'), (2, '{grace}', 'of Grace')")
    created = await made(shop, user_id=ada)
    assert (created["user_id"], created["role"], created["permissions"]) == (ada, "authenticated", ["data.*"])
    other = await made(shop, user_id=grace)
    for _ in range(3):
        assert (await ask(shop, created["key"], "/rest/v1/notes?id=gt.0")).json()[0]["text"] == "of Ada"
        assert (await ask(shop, other["key"], "/rest/v1/notes?id=gt.0")).json()[0]["text"] == "of Grace"
    claims = (await ask(shop, created["key"], "/rest/v1/rpc/who")).json()
    assert (claims["sub"], claims["role"], claims["user"]) == (ada, "authenticated", "authenticated")
    assert (claims["email"], claims["aal"], claims["aud"]) == ("ada@example.com", "aal1", "authenticated")
    assert claims["app_metadata"]["plan"] == "pro"
    assert claims["user_metadata"]["name"] == "Ada"
    assert claims["is_anonymous"] is False
    assert claims["iss"].endswith("/auth/v1")
    assert "session_id" not in claims
    assert (await events(shop))[0][1]["user_id"] == ada


async def test_the_claims_are_those_of_the_owners_token(shop: Served) -> None:
    ada = await person(shop, "ada", app_metadata={"plan": "pro"})
    signed_in = await shop.client.post(
        "/auth/v1/token?grant_type=password",
        json={"email": "ada@example.com", "password": "correct horse battery"},
    )
    token = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    own = (await shop.client.get("/rest/v1/rpc/who", headers=token)).json()
    key = (await made(shop, user_id=ada))["key"]
    by_key = (await ask(shop, key, "/rest/v1/rpc/who")).json()
    # what says how old a token is; the claims of a key are made anew
    assert own.keys() - by_key.keys() == {"exp", "iat", "session_id", "claims_version"}
    assert {name for name in by_key if by_key[name] != own.get(name)} == {"amr", "monohull_key_id"}


async def test_scopes_limit_what_the_owner_may(database: asyncpg.Connection, shop: Served) -> None:
    ada = await person(shop, "ada")
    await database.execute(f"insert into notes values (1, '{ada}', 'of Ada')")
    key = (await made(shop, user_id=ada, permissions=["data.notes:read"]))["key"]
    assert len((await ask(shop, key, "/rest/v1/notes")).json()) == 1
    refused = await ask(shop, key, "/rest/v1/products")
    assert (refused.status_code, refused.json()["code"]) == (403, "MH103")
    write = await shop.client.delete("/rest/v1/notes?id=eq.1", headers={"apikey": key})
    assert (write.status_code, "data.notes:delete" in write.text) == (403, True)


@pytest.mark.parametrize(
    ("method", "body", "reason"),
    [
        ("PUT", {"ban_duration": "24h"}, "The owner of this API key is banned"),
        ("DELETE", {}, "The owner of this API key was deleted"),
        ("DELETE", {"should_soft_delete": True}, "The owner of this API key was deleted"),
    ],
)
async def test_who_is_shut_out_takes_the_keys_along(
    shop: Served, monkeypatch: pytest.MonkeyPatch, method: str, body: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(authenticator, "CACHE_SECONDS", 0.2)
    ada = await person(shop, "ada")
    key = (await made(shop, user_id=ada))["key"]
    assert (await ask(shop, key, "/rest/v1/notes")).status_code == 200
    await administer(shop, method, ada, **body)
    await asyncio.sleep(0.25)
    for _ in range(2):
        refused = await ask(shop, key, "/rest/v1/notes")
        assert (refused.status_code, refused.json()["message"]) == (401, reason)


async def test_a_ban_that_ends_gives_the_keys_back(shop: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "CACHE_SECONDS", 0.0)
    ada = await person(shop, "ada")
    key = (await made(shop, user_id=ada))["key"]
    await administer(shop, "PUT", ada, ban_duration="24h")
    assert (await ask(shop, key, "/rest/v1/notes")).status_code == 401
    await administer(shop, "PUT", ada, ban_duration="none")
    assert (await ask(shop, key, "/rest/v1/notes")).status_code == 200


ABOUT_THE_OWNER: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "user", None),
    ("PUT", "user", {"password": "another correct horse"}),
    ("POST", "logout", None),
    ("GET", "sessions", None),
    ("POST", "factors", {"factor_type": "totp"}),
    ("GET", "passkeys", None),
    ("GET", "oauth/userinfo", None),
]


async def test_a_key_does_not_manage_its_owner(shop: Served) -> None:
    ada = await person(shop, "ada")
    key = (await made(shop, user_id=ada, permissions=["*"]))["key"]
    headers = {"Authorization": f"Bearer {key}"}
    for method, path, body in ABOUT_THE_OWNER:
        refused = await shop.client.request(method, f"/auth/v1/{path}", json=body, headers=headers)
        assert refused.status_code == 403, (method, path, refused.text)


async def test_whom_a_key_may_act_as(shop: Served) -> None:
    ada, grace = await person(shop, "ada"), await person(shop, "grace")
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"user_id": str(uuid4())}, "owner_unknown"),
        ({"user_id": ada, "kind": "publishable"}, "owner_needs_secret_key"),
        ({"user_id": "ada"}, "invalid_request"),
    )
    for wanted, code in wrong:
        answer = await make(shop, **wanted)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    maker = {"apikey": (await made(shop, permissions=["api_keys.keys:*", "data.*"]))["key"]}
    answer = await make(shop, maker, user_id=ada)
    assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own_permissions")
    own = {"apikey": (await made(shop, user_id=ada, permissions=["api_keys.keys:*", "data.*"]))["key"]}
    assert (await make(shop, own, user_id=ada)).status_code == 201, "as oneself"
    assert (await make(shop, own, user_id=grace)).status_code == 403
    of_grace = await made(shop, user_id=grace)
    answer = await shop.client.post(f"{PATH}/{of_grace['id']}/rotate", json={}, headers=own)
    assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own_permissions")
