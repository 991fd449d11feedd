"""Other applications sign their users in here: whole flows, and what becomes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

from monohull.kernel import ids
from monohull.kernel.ids import hash_token
from tests.application import anon_key, running_app
from tests.integration.auth.applications import (
    ADMIN,
    CALLBACK,
    ISSUER,
    OAUTH,
    App,
    Applications,
    split,
)
from tests.integration.auth.people import V2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apps(shared_connections: Connections) -> AsyncIterator[Applications]:
    lifetimes = {"auth_sessions_timebox": "240h", "auth_sessions_inactivity_timeout": "24h"}
    async with running_app(shared_connections, **OAUTH, **lifetimes) as served:
        yield Applications(served)


def bearer(tokens: Mapping[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}", **V2}


async def test_a_whole_flow_with_authlib(apps: Applications) -> None:
    """An independent client: discovery, PKCE, the ID token by the published keys, refresh, revocation."""
    person = await apps.sign_up(data={"full_name": "Ada Lovelace", "avatar_url": "https://x.example/a.png"})
    app = await apps.register()
    found = (await apps.client.get("/auth/v1/.well-known/openid-configuration")).json()
    own = {"transport": apps.client._transport, "base_url": "http://127.0.0.1:8000"}
    async with AsyncOAuth2Client(
        app.id,
        app.secret,
        scope="openid email profile",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint=found["token_endpoint"],
        revocation_endpoint_auth_method="client_secret_basic",
        **own,
    ) as client:
        verifier = ids.token(48)
        url, state = client.create_authorization_url(
            found["authorization_endpoint"], code_verifier=verifier, nonce="n-1"
        )
        asked = await apps.client.get(url)
        page, query = split(asked.headers["location"])
        assert page == "https://app.example.com/start/oauth/consent"
        shown = (await apps.see(person, query["authorization_id"])).json()
        assert shown == {
            "authorization_id": query["authorization_id"],
            "redirect_uri": CALLBACK,
            "client": {"id": app.id, "name": "Shop", "uri": "", "logo_uri": ""},
            "user": {"id": str(person.id), "email": person.email},
            "scope": "openid email profile",
        }
        answered = (await apps.consent(person, query["authorization_id"], "approve")).json()["redirect_url"]
        assert split(answered)[1] | {"code": ""} == {
            "from": "monohull",
            "code": "",
            "state": state,
            "iss": found["issuer"],
        }
        token = await client.fetch_token(authorization_response=answered, state=state, code_verifier=verifier)
        assert (token["token_type"], token["scope"]) == ("bearer", "openid email profile")
        keys = KeySet.import_key_set((await apps.client.get(found["jwks_uri"])).json())
        read = jwt.decode(token["id_token"], keys, algorithms=found["id_token_signing_alg_values_supported"])
        options = {"iss": {"value": found["issuer"]}, "aud": {"value": app.id}}
        params = {"nonce": "n-1", "client_id": app.id, "access_token": token["access_token"]}
        told = CodeIDToken(read.claims, read.header, options, params)
        told.validate()
        assert (told["sub"], told["email"], told["name"]) == (str(person.id), person.email, "Ada Lovelace")
        user = (await client.get(found["userinfo_endpoint"])).json()
        assert user == {
            "sub": str(person.id),
            "email": person.email,
            "email_verified": True,
            "name": "Ada Lovelace",
            "picture": "https://x.example/a.png",
            "updated_at": user["updated_at"],
        }
        renewed = await client.refresh_token(found["token_endpoint"], token["refresh_token"])
        looked = await client.introspect_token(found["introspection_endpoint"], renewed["access_token"])
        assert (looked.json()["active"], looked.json()["client_id"]) == (True, app.id)
        assert renewed["refresh_token"] != token["refresh_token"]
        assert (await client.get("/auth/v1/user")).json()["id"] == str(person.id)
        await client.revoke_token(found["revocation_endpoint"], renewed["refresh_token"], "refresh_token")
        assert (await client.get("/auth/v1/user")).status_code == 403


async def test_access_tokens_say_whose_they_are(apps: Applications) -> None:
    person, app = await apps.sign_up(), await apps.register()
    tokens = await apps.signed_in_at(app, person)
    claims = await apps.claims(tokens["access_token"])
    assert (claims["client_id"], claims["scope"]) == (app.id, "openid email")
    assert [amr["method"] for amr in claims["amr"]] == ["oauth_provider/authorization_code"]
    assert (claims["sub"], claims["role"], claims["aal"]) == (str(person.id), "authenticated", "aal1")
    renewed = await apps.token(app.basic, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    again = await apps.claims(renewed.json()["access_token"])
    assert (again["client_id"], again["session_id"]) == (app.id, claims["session_id"])
    own = await apps.claims(person.tokens["access_token"])
    assert "client_id" not in own
    assert "scope" not in own
    assert (await apps.events(person.id))[-3:] == [
        "auth.oauth_consent_granted",
        "auth.user_signed_in",
        "auth.token_refreshed",
    ]


async def test_an_id_token_opens_nothing(apps: Applications) -> None:
    tokens = await apps.signed_in_at(await apps.register(), await apps.sign_up())
    for path in ("/user", "/oauth/userinfo", "/sessions"):
        answer = await apps.client.get(
            f"/auth/v1{path}", headers={"Authorization": f"Bearer {tokens['id_token']}", **V2}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "bad_jwt"), path
    rest = await apps.client.get("/rest/v1/", headers={"Authorization": f"Bearer {tokens['id_token']}"})
    assert rest.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/user"),
        ("GET", "/reauthenticate"),
        ("GET", "/sessions"),
        ("DELETE", "/sessions/00000000-0000-0000-0000-000000000000"),
        ("GET", "/factors/recovery-codes"),
        ("POST", "/factors"),
        ("DELETE", "/factors/00000000-0000-0000-0000-000000000000"),
        ("GET", "/passkeys"),
        ("POST", "/passkeys/registration/options"),
        ("GET", "/user/oauth/grants"),
        ("DELETE", "/user/oauth/grants?client_id=00000000-0000-0000-0000-000000000000"),
        ("GET", "/oauth/authorizations/x"),
        ("POST", "/oauth/authorizations/x/consent"),
    ],
)
async def test_an_application_cannot_take_the_account(apps: Applications, method: str, path: str) -> None:
    tokens = await apps.signed_in_at(await apps.register(), await apps.sign_up())
    body = {"password": "another-horse"} if method in ("PUT", "POST") else None
    answer = await apps.client.request(method, f"/auth/v1{path}", json=body, headers=bearer(tokens))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


async def test_an_application_signs_only_itself_out(apps: Applications) -> None:
    person = await apps.sign_up()
    tokens = await apps.signed_in_at(await apps.register(), person)
    answer = await apps.client.post("/auth/v1/logout?scope=global", headers=bearer(tokens))
    assert answer.status_code == 204
    assert (await apps.client.get("/auth/v1/user", headers=bearer(tokens))).status_code == 403
    assert (await apps.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200


async def test_consent_is_remembered_and_grows(apps: Applications) -> None:
    person, app = await apps.sign_up(), await apps.register()
    await apps.signed_in_at(app, person, scope="openid")
    assert "authorization_id" in (await apps.see(person, await apps.ask(app, "v" * 43))).json()
    await apps.signed_in_at(app, person)
    verifier = ids.token()
    again = (await apps.see(person, await apps.ask(app, verifier))).json()
    assert list(again) == ["redirect_url"]
    answer = await apps.exchange(app, split(again["redirect_url"])[1]["code"], verifier)
    assert answer.status_code == 200
    other = await apps.register(client_name="Another")
    assert "authorization_id" in (await apps.see(person, await apps.ask(other, verifier))).json()
    (grant,) = (await apps.client.get("/auth/v1/user/oauth/grants", headers=person.bearer)).json()
    assert grant["client"] == {"id": app.id, "name": "Shop", "uri": "", "logo_uri": ""}
    assert grant["scopes"] == ["openid", "email"]


async def test_taking_back_a_grant_ends_its_sessions(apps: Applications) -> None:
    person, other = await apps.sign_up(), await apps.sign_up()
    app, kept = await apps.register(), await apps.register()
    ended, alive, others = (
        await apps.signed_in_at(app, person),
        await apps.signed_in_at(kept, person),
        await apps.signed_in_at(app, other),
    )
    waiting_verifier = ids.token()
    waiting = await apps.see(person, await apps.ask(app, waiting_verifier))
    url = f"/auth/v1/user/oauth/grants?client_id={app.id}"
    assert (await apps.client.delete(url, headers=person.bearer)).status_code == 204
    again = await apps.client.delete(url, headers=person.bearer)
    assert (again.status_code, again.json()["code"]) == (404, "oauth_consent_not_found")
    statuses = [
        (await apps.client.get("/auth/v1/oauth/userinfo", headers=bearer(tokens))).status_code
        for tokens in (ended, alive, others)
    ]
    assert statuses == [403, 200, 200]
    refreshed = await apps.token(app.basic, grant_type="refresh_token", refresh_token=ended["refresh_token"])
    assert refreshed.json()["error"] == "invalid_grant"
    code = split(waiting.json()["redirect_url"])[1]["code"]
    late = await apps.exchange(app, code, waiting_verifier)
    assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")
    assert (await apps.events(person.id))[-1] == "auth.oauth_grant_revoked"


async def test_a_code_works_once_and_its_reuse_ends_what_it_opened(apps: Applications) -> None:
    person, app, thief = await apps.sign_up(), await apps.register(), await apps.register()
    verifier = ids.token()
    code = await apps.code(app, person, verifier)
    stolen = await apps.exchange(thief, code, verifier)
    assert stolen.json()["error"] == "invalid_grant"
    first = await apps.exchange(app, code, verifier)
    assert first.status_code == 200
    assert (await apps.exchange(thief, code, verifier)).json()["error"] == "invalid_grant"
    assert (await apps.client.get("/auth/v1/user", headers=bearer(first.json()))).status_code == 200
    second = await apps.exchange(app, code, verifier)
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")
    assert (await apps.client.get("/auth/v1/user", headers=bearer(first.json()))).status_code == 403
    assert (await apps.events(person.id))[-1] == "auth.oauth_code_reused"


async def test_two_exchanges_at_once_leave_no_session(apps: Applications) -> None:
    person, app, verifier = await apps.sign_up(), await apps.register(), ids.token()
    code = await apps.code(app, person, verifier)
    answers = await asyncio.gather(*(apps.exchange(app, code, verifier) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    (winner,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert (await apps.client.get("/auth/v1/user", headers=bearer(winner))).status_code == 403


async def test_refresh_tokens_rotate_and_belong_to_one_application(apps: Applications) -> None:
    person, app, other = await apps.sign_up(), await apps.register(), await apps.register()
    tokens = await apps.signed_in_at(app, person)
    foreign = await apps.token(other.basic, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert foreign.json()["error"] == "invalid_grant"
    assert (await apps.refresh(tokens["refresh_token"])).json()["code"] == "refresh_token_not_found"
    own = await apps.token(app.basic, grant_type="refresh_token", refresh_token=person.refresh_token)
    assert own.json()["error"] == "invalid_grant"
    renewed = await apps.token(
        app.basic, grant_type="refresh_token", refresh_token=tokens["refresh_token"], scope="email openid"
    )
    assert renewed.status_code == 200
    assert renewed.headers["cache-control"] == "no-store"
    await apps.execute(
        "update auth.refresh_tokens set updated_at = now() - interval '1 hour' where token = $1",
        hash_token(tokens["refresh_token"]),
    )
    following = await apps.token(
        app.basic, grant_type="refresh_token", refresh_token=renewed.json()["refresh_token"]
    )
    assert following.status_code == 200
    reused = await apps.token(app.basic, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert reused.json()["error"] == "invalid_grant"
    assert (await apps.events(person.id))[-1] == "auth.token_reuse_detected"
    dead = await apps.token(
        app.basic, grant_type="refresh_token", refresh_token=following.json()["refresh_token"]
    )
    assert dead.json()["error"] == "invalid_grant"


async def test_public_clients_have_no_secret(apps: Applications) -> None:
    person, app, verifier = await apps.sign_up(), await apps.register(client_type="public"), ids.token()
    assert app.view["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in app.view
    code = await apps.code(app, person, verifier)
    body = {
        "grant_type": "authorization_code",
        "client_id": app.id,
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": CALLBACK,
    }
    with_secret = await apps.token(None, **body, client_secret="x")
    assert (with_secret.status_code, with_secret.json()["error"]) == (401, "invalid_client")
    answer = await apps.client.post("/auth/v1/oauth/token", json=body)
    assert answer.status_code == 200, answer.text
    renewed = await apps.token(
        grant_type="refresh_token", client_id=app.id, refresh_token=answer.json()["refresh_token"]
    )
    assert renewed.status_code == 200


async def test_a_client_without_the_refresh_grant_gets_no_refresh_token(apps: Applications) -> None:
    app = await apps.register(grant_types=["authorization_code"])
    tokens = await apps.signed_in_at(app, await apps.sign_up(), scope="email")
    assert sorted(tokens) == ["access_token", "expires_in", "scope", "token_type"]
    refused = await apps.token(app.basic, grant_type="refresh_token", refresh_token="x")
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")


async def test_a_request_is_for_who_looks_at_it_first(apps: Applications) -> None:
    person, other, app = await apps.sign_up(), await apps.sign_up(), await apps.register()
    asked = await apps.ask(app, "v" * 43)
    assert (await apps.see(person, asked)).status_code == 200
    for answer in (await apps.see(other, asked), await apps.consent(other, asked, "approve")):
        assert (answer.status_code, answer.json()["code"]) == (404, "oauth_authorization_not_found")
    denied = await apps.consent(person, asked, "deny")
    target, query = split(denied.json()["redirect_url"])
    assert target == "https://shop.example.net/callback"
    assert (query["error"], query["state"], query["iss"]) == ("access_denied", "a state & more", ISSUER)
    assert (await apps.see(person, asked)).status_code == 404
    assert (await apps.events(person.id))[-1] == "auth.oauth_consent_denied"
    assert (await apps.client.get("/auth/v1/user/oauth/grants", headers=person.bearer)).json() == []


async def test_what_waited_too_long_is_over(apps: Applications) -> None:
    person, app, verifier = await apps.sign_up(), await apps.register(), ids.token()
    asked = await apps.ask(app, verifier)
    late = "update auth.oauth_authorizations set created_at = now() - interval '1 hour', "
    late += "expires_at = now() - interval '1 second' where client_id = $1"
    await apps.execute(late, app.id)
    assert (await apps.consent(person, asked, "approve")).status_code == 404
    code = await apps.code(app, person, verifier)
    await apps.execute(late, app.id)
    assert (await apps.exchange(app, code, verifier)).json()["error"] == "invalid_grant"


async def test_banned_users_get_no_tokens(apps: Applications) -> None:
    person, app, verifier = await apps.sign_up(), await apps.register(), ids.token()
    tokens = await apps.signed_in_at(app, person)
    code = split((await apps.see(person, await apps.ask(app, verifier))).json()["redirect_url"])[1]["code"]
    await apps.execute(
        "update auth.users set banned_until = now() + interval '1 hour' where id = $1", person.id
    )
    assert (await apps.exchange(app, code, verifier)).json()["error"] == "invalid_grant"
    renewed = await apps.token(app.basic, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert renewed.json() == {"error": "invalid_grant", "error_description": "User is banned"}


async def test_revocation(apps: Applications) -> None:
    person, app, other = await apps.sign_up(), await apps.register(), await apps.register()
    tokens = await apps.signed_in_at(app, person)

    async def revoke(app: App, token: str) -> int:
        answer = await apps.client.post("/auth/v1/oauth/revoke", data={"token": token}, headers=app.basic)
        return answer.status_code

    for token in ("nonsense", person.refresh_token, person.tokens["access_token"]):
        assert await revoke(app, token) == 200
    assert await revoke(other, tokens["refresh_token"]) == 200
    assert (await apps.client.get("/auth/v1/user", headers=bearer(tokens))).status_code == 200
    assert (await apps.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200
    assert await revoke(app, tokens["access_token"]) == 200
    assert (await apps.client.get("/auth/v1/user", headers=bearer(tokens))).status_code == 403


async def look(apps: Applications, headers: Mapping[str, str], token: str) -> Mapping[str, Any]:
    answer = await apps.client.post("/auth/v1/oauth/introspect", data={"token": token}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: Mapping[str, Any] = answer.json()
    return found


async def test_introspection(apps: Applications) -> None:
    person, app, other = await apps.sign_up(), await apps.register(), await apps.register()
    tokens = await apps.signed_in_at(app, person)
    claims = await apps.claims(tokens["access_token"])
    known = {
        "active": True,
        "iss": ISSUER,
        "sub": str(person.id),
        "client_id": app.id,
        "scope": "openid email",
    }
    timed = {name: claims[name] for name in ("aud", "exp", "iat", "session_id")}
    for headers in (app.basic, ADMIN):
        access = await look(apps, headers, tokens["access_token"])
        assert access == {**known, **timed, "token_type": "bearer"}
        assert await look(apps, headers, tokens["refresh_token"]) == known
        assert await look(apps, headers, tokens["id_token"]) == {"active": False}
    for token in (tokens["access_token"], tokens["refresh_token"], "nonsense", person.refresh_token):
        assert await look(apps, other.basic, token) == {"active": False}, "another application's"
    assert (await look(apps, app.basic, person.tokens["access_token"])) == {"active": False}
    own = await look(apps, ADMIN, person.tokens["access_token"])
    assert (own["active"], own["sub"], "client_id" in own) == (True, str(person.id), False)
    renewed = await apps.token(app.basic, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert await look(apps, app.basic, tokens["refresh_token"]) == {"active": False}, "it was rotated"
    token = renewed.json()["access_token"]
    await apps.execute(
        "update auth.users set banned_until = now() + interval '1 hour' where id = $1", person.id
    )
    assert await look(apps, app.basic, token) == {"active": False}
    await apps.execute("update auth.users set banned_until = null where id = $1", person.id)
    assert (await look(apps, app.basic, token))["active"]
    await apps.client.post("/auth/v1/oauth/revoke", data={"token": token}, headers=app.basic)
    for headers in (app.basic, ADMIN):
        assert await look(apps, headers, token) == {"active": False}


async def test_a_refresh_token_of_a_session_that_cannot_be_renewed_is_not_active(apps: Applications) -> None:
    person, app = await apps.sign_up(), await apps.register()
    tokens = await apps.signed_in_at(app, person)
    session_id = (await apps.claims(tokens["access_token"]))["session_id"]
    token = tokens["refresh_token"]
    assert (await look(apps, app.basic, token))["active"]
    for change in (
        "refreshed_at = now() - interval '25 hours'",
        "refreshed_at = now(), created_at = now() - interval '241 hours'",
    ):
        await apps.execute(f"update auth.sessions set {change} where id = $1::text::uuid", session_id)
        assert await look(apps, app.basic, token) == {"active": False}, change
        renewed = await apps.token(app.basic, grant_type="refresh_token", refresh_token=token)
        assert renewed.json()["error"] == "invalid_grant", change
    assert (await look(apps, app.basic, tokens["access_token"]))["active"], "until it expires, it is let in"


async def test_who_may_not_look_at_tokens(apps: Applications) -> None:
    person, app = await apps.sign_up(), await apps.register()
    public = await apps.register(client_type="public")
    tokens = await apps.signed_in_at(app, person)
    form = {"token": tokens["access_token"]}
    for headers, more in (
        ({}, {"client_id": public.id}),
        (person.bearer, {}),
        (bearer(tokens), {}),
        ({"apikey": anon_key()}, {}),
    ):
        answer = await apps.client.post("/auth/v1/oauth/introspect", data=form | more, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text
    missing = await apps.client.post("/auth/v1/oauth/introspect", headers=ADMIN)
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


async def test_an_api_key_that_may_only_look(apps: Applications) -> None:
    """What a resource server is given: its key opens nothing else."""
    person, app = await apps.sign_up(), await apps.register()
    tokens = await apps.signed_in_at(app, person)
    keys = {}
    for permission in ("auth.tokens:introspect", "auth.mailbox:read"):
        made = await apps.client.post(
            "/platform/v1/api-keys",
            json={"name": permission, "kind": "secret", "permissions": [permission]},
            headers=ADMIN,
        )
        assert made.status_code == 201, made.text
        keys[permission] = {"apikey": made.json()["key"]}
    found = await look(apps, keys["auth.tokens:introspect"], tokens["access_token"])
    assert (found["active"], found["client_id"]) == (True, app.id)
    refused = await apps.client.post(
        "/auth/v1/oauth/introspect",
        data={"token": tokens["access_token"]},
        headers=keys["auth.mailbox:read"],
    )
    assert refused.json()["error"] == "invalid_client"


async def test_a_deleted_client_is_gone_with_its_sessions(apps: Applications) -> None:
    person, app, verifier = await apps.sign_up(), await apps.register(), ids.token()
    tokens = await apps.signed_in_at(app, person)
    code = split((await apps.see(person, await apps.ask(app, verifier))).json()["redirect_url"])[1]["code"]
    url = f"/auth/v1/admin/oauth/clients/{app.id}"
    assert (await apps.client.delete(url, headers=ADMIN)).status_code == 204
    assert (await apps.client.get("/auth/v1/user", headers=bearer(tokens))).status_code == 403
    assert (await apps.exchange(app, code, verifier)).json()["error"] == "invalid_client"
    assert (await apps.client.get("/auth/v1/user/oauth/grants", headers=person.bearer)).json() == []
    for method in ("GET", "DELETE"):
        answer = await apps.client.request(method, url, headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (404, "oauth_client_not_found")


async def test_clients_are_kept_by_administrators(apps: Applications) -> None:
    app = await apps.register(client_uri="https://shop.example.net", scope="email openid")
    view = dict(app.view)
    assert view["grant_types"] == ["authorization_code", "refresh_token"]
    assert (view["response_types"], view["client_type"], view["registration_type"]) == (
        ["code"],
        "confidential",
        "manual",
    )
    assert view["token_endpoint_auth_method"] == "client_secret_basic"
    url = f"/auth/v1/admin/oauth/clients/{app.id}"
    shown = (await apps.client.get(url, headers=ADMIN)).json()
    assert shown == {name: value for name, value in view.items() if name != "client_secret"}
    changed = await apps.client.put(url, json={"client_name": "Market", "client_uri": ""}, headers=ADMIN)
    assert changed.json() == {
        **{name: value for name, value in shown.items() if name != "client_uri"},
        "client_name": "Market",
        "updated_at": changed.json()["updated_at"],
    }
    again = await apps.client.post(f"{url}/regenerate_secret", headers=ADMIN)
    assert again.json()["client_secret"] != app.secret
    (stored,) = await apps.rows("select client_secret_hash from auth.oauth_clients where id = $1", app.id)
    assert stored["client_secret_hash"] == hash_token(again.json()["client_secret"])
    old = await apps.token(app.basic, grant_type="refresh_token", refresh_token="x")
    assert (old.status_code, old.headers["www-authenticate"]) == (401, 'Basic realm="oauth"')
    fresh = await apps.token(App(again.json()).basic, grant_type="refresh_token", refresh_token="x")
    assert fresh.json()["error"] == "invalid_grant"
    page = await apps.client.get("/auth/v1/admin/oauth/clients?per_page=1", headers=ADMIN)
    assert [client["client_id"] for client in page.json()["clients"]] == [app.id]
    assert int(page.headers["x-total-count"]) >= 1
    assert await apps.rows("select 1 from monohull.outbox where key = $1", app.id) != []


async def test_clients_register_themselves(apps: Applications) -> None:
    answer = await apps.client.post(
        "/auth/v1/oauth/clients/register",
        json={
            "client_name": "Agent",
            "redirect_uris": ["http://localhost:4711/callback"],
            "token_endpoint_auth_method": "none",
            "contacts": ["somebody@example.com"],
        },
    )
    assert answer.status_code == 201
    view = answer.json()
    assert (view["registration_type"], view["client_type"]) == ("dynamic", "public")
    assert view["client_id_issued_at"] > 0
    assert "client_secret" not in view
    asked = await apps.authorize(App(view), "v" * 43, redirect_uri="http://localhost:4711/callback")
    assert asked.status_code == 302


async def test_discovery(apps: Applications) -> None:
    paths = (
        "/auth/v1/.well-known/openid-configuration",
        "/auth/v1/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/auth/v1",
        "/.well-known/openid-configuration/auth/v1",
    )
    answers = [await apps.client.get(path) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    first, *others = (answer.json() for answer in answers)
    assert all(other == first for other in others)
    assert first["issuer"] == ISSUER
    assert first["token_endpoint"] == f"{ISSUER}/oauth/token"
    assert first["registration_endpoint"] == f"{ISSUER}/oauth/clients/register"
    assert first["scopes_supported"] == ["openid", "email", "profile", "phone"]
    assert first["id_token_signing_alg_values_supported"] == ["ES256"]
    assert first["code_challenge_methods_supported"] == ["S256"]


async def test_without_a_key_of_its_own_there_is_no_openid(shared_connections: Connections) -> None:
    async with running_app(shared_connections, auth_jwt_algorithm="HS256", **OAUTH) as served:
        apps = Applications(served)
        app = await apps.register()
        refused = await apps.authorize(app, "v" * 43)
        assert split(refused.headers["location"])[1]["error"] == "invalid_scope"
        found = (await apps.client.get("/auth/v1/.well-known/oauth-authorization-server")).json()
        assert found["scopes_supported"] == ["email", "profile", "phone"]
        tokens = await apps.signed_in_at(app, await apps.sign_up(), scope=None)
        assert (tokens["scope"], "id_token" in tokens) == ("email", False)


async def test_a_session_of_an_application_ends_no_other(shared_connections: Connections) -> None:
    async with running_app(shared_connections, auth_sessions_single_per_user="true", **OAUTH) as served:
        apps = Applications(served)
        person = await apps.sign_up()
        await apps.signed_in_at(await apps.register(), person)
        assert (await apps.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200


async def test_no_hook_makes_an_application_the_user(shared_connections: Connections) -> None:
    hook = "python://tests.integration.auth.hook_functions/promote"
    async with running_app(shared_connections, auth_hook_custom_access_token_uri=hook, **OAUTH) as served:
        apps = Applications(served)
        app = await apps.register()
        tokens = await apps.signed_in_at(app, await apps.sign_up())
        assert (await apps.claims(tokens["access_token"]))["client_id"] == app.id
