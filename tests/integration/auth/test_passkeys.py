"""Passkeys: registered, signed in with, kept; and what liars are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from modules.auth.jobs import purge_flows
from monohull.kernel.home import Connections
from monohull.kernel.settings import Secret
from tests.application import running_app, service_key
from tests.integration.auth.authenticator_app import enroll, strengthened
from tests.integration.auth.people import V2, Person
from tests.integration.auth.post import Post, signed_in
from tests.integration.auth.security_key import SecurityKey, b64, unb64

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = {"Authorization": f"Bearer {service_key()}", **V2}
LIES: list[tuple[str, dict[str, Any]]] = [
    ("origin", {"origin": "https://evil.example.com"}),
    ("challenge", {"challenge": b64(b"x" * 64)}),
    ("site", {"rp_id": "evil.example.com"}),
    ("ceremony", {"type": "payment.get"}),
]
NONSENSE: list[dict[str, Any]] = [
    {},
    {"id": "!", "rawId": "!", "type": "public-key", "response": {}},
    {"id": 7, "response": []},
    {
        "id": "YQ",
        "rawId": "YQ",
        "type": "public-key",
        "response": {"clientDataJSON": "YQ", "attestationObject": "YQ"},
    },
    {
        "id": "YQ",
        "rawId": "YQ",
        "type": "public-key",
        "response": {
            "clientDataJSON": b64(b'{"type": "webauthn.create", "challenge": "YQ", "origin": 7}'),
            "attestationObject": b64(b"\xa1\x61a"),
            "authenticatorData": b64(b"\xff" * 37),
            "signature": "YQ",
        },
    },
    {"id": "ü", "rawId": "ü", "response": {"userHandle": "ü"}},
    {"padding": "x" * 70_000},
]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def begin(post: Post, person: Person) -> dict[str, Any]:
    answer = await post.call("POST", "/passkeys/registration/options", person.bearer)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def register(post: Post, person: Person, key: SecurityKey, **lies: Any) -> httpx.Response:
    asked = await begin(post, person)
    return await post.call(
        "POST",
        "/passkeys/registration/verify",
        person.bearer,
        challenge_id=asked["challenge_id"],
        credential=key.create(asked["options"], **lies),
    )


async def ask(post: Post) -> dict[str, Any]:
    answer = await post.call("POST", "/passkeys/authentication/options")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def sign_in(post: Post, key: SecurityKey, **lies: Any) -> httpx.Response:
    asked = await ask(post)
    return await post.call(
        "POST",
        "/passkeys/authentication/verify",
        challenge_id=asked["challenge_id"],
        credential=key.sign(asked["options"], **lies),
    )


async def test_from_registration_to_sign_in(post: Post) -> None:
    person, key = await signed_in(post), SecurityKey()
    asked = await begin(post, person)
    options = asked["options"]
    assert options["rp"] == {"id": "example.com", "name": "app.example.com"}
    assert UUID(bytes=unb64(options["user"]["id"])) == person.id
    assert options["user"]["name"] == person.email
    assert -7 in [parameter["alg"] for parameter in options["pubKeyCredParams"]]
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["excludeCredentials"] == []
    assert len(unb64(options["challenge"])) == 64
    made = (await register(post, person, key)).json()
    assert made.keys() == {"id", "created_at"}
    assert (await begin(post, person))["options"]["excludeCredentials"][0]["id"] == b64(key.id)
    notice = await post.letter(person.email, number=2)
    assert "passkey" in notice["text"]
    request = (await ask(post))["options"]
    assert request["rpId"] == "example.com"
    assert "allowCredentials" not in request
    answer = await sign_in(post, key)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["user"]["id"] == str(person.id)
    claims = await post.claims(answer.json()["access_token"])
    assert (claims["aal"], [entry["method"] for entry in claims["amr"]]) == ("aal1", ["passkey"])
    assert (await sign_in(post, key)).status_code == 200
    (shown,) = (await post.call("GET", "/passkeys", person.bearer)).json()
    assert (shown["id"], "last_used_at" in shown) == (made["id"], True)
    renamed = await post.call("PATCH", f"/passkeys/{made['id']}", person.bearer, friendly_name="laptop")
    assert renamed.json()["friendly_name"] == "laptop"
    assert (await post.call("DELETE", f"/passkeys/{made['id']}", person.bearer)).status_code == 204
    assert (await post.call("GET", "/passkeys", person.bearer)).json() == []
    assert refusal(await sign_in(post, key)) == (400, "webauthn_credential_not_found")
    events = [name for name in await post.events(person.id) if "passkey" in name]
    assert events == ["auth.passkey_registered", "auth.passkey_updated", "auth.passkey_deleted"]


@pytest.mark.parametrize("lies", [row[1] for row in LIES], ids=[row[0] for row in LIES])
async def test_liars(post: Post, lies: dict[str, Any]) -> None:
    person, key = await signed_in(post), SecurityKey()
    assert refusal(await register(post, person, key, **lies)) == (400, "webauthn_verification_failed")
    assert (await register(post, person, key)).status_code == 200
    answer = await sign_in(post, key, **lies)
    assert refusal(answer) == (400, "webauthn_verification_failed")
    assert answer.json()["message"] == "Passkey verification failed"
    assert (await sign_in(post, key)).status_code == 200


async def test_a_copy_of_a_key_a_foreign_key_and_a_foreign_handle(post: Post) -> None:
    person, key = await signed_in(post), SecurityKey()
    await register(post, person, key)
    assert (await sign_in(post, key)).status_code == 200
    for lies in ({"count": 1}, {"count": 0}, {"user_handle": uuid4().bytes}):
        assert refusal(await sign_in(post, key, **lies)) == (400, "webauthn_verification_failed")
    forged = SecurityKey()
    forged.id, forged.user_handle, forged.count = key.id, key.user_handle, 50
    assert refusal(await sign_in(post, forged)) == (400, "webauthn_verification_failed")
    assert refusal(await sign_in(post, SecurityKey())) == (400, "webauthn_credential_not_found")


async def test_a_key_that_does_not_count(post: Post) -> None:
    person, key = await signed_in(post), SecurityKey(counts=False)
    await register(post, person, key)
    for _ in range(2):
        assert (await sign_in(post, key)).status_code == 200


async def test_an_unknown_attestation_is_refused(post: Post) -> None:
    answer = await register(post, await signed_in(post), SecurityKey(), fmt="fido-u2f")
    assert refusal(answer) == (400, "webauthn_verification_failed")


@pytest.mark.parametrize("credential", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense(post: Post, credential: dict[str, Any]) -> None:
    person = await signed_in(post)
    asked = await begin(post, person)
    body = {"challenge_id": asked["challenge_id"], "credential": credential}
    answer = await post.call("POST", "/passkeys/registration/verify", person.bearer, **body)
    assert refusal(answer) == (400, "webauthn_verification_failed")
    body["challenge_id"] = (await ask(post))["challenge_id"]
    answer = await post.call("POST", "/passkeys/authentication/verify", **body)
    assert answer.status_code == 400
    assert answer.json()["code"] in {"webauthn_verification_failed", "webauthn_credential_not_found"}


async def test_a_challenge_is_answered_once_by_whom_it_was_asked_and_in_time(post: Post) -> None:
    person, other, key = await signed_in(post), await signed_in(post), SecurityKey()
    verify = "/passkeys/registration/verify"
    asked = await begin(post, person)
    body = {"challenge_id": asked["challenge_id"], "credential": key.create(asked["options"])}
    foreign = await post.call("POST", verify, other.bearer, **body)
    assert refusal(foreign) == (400, "webauthn_challenge_not_found")
    confused = await post.call("POST", "/passkeys/authentication/verify", **body)
    assert refusal(confused) == (400, "webauthn_challenge_not_found")
    racing = await asyncio.gather(*(post.call("POST", verify, person.bearer, **body) for _ in range(4)))
    assert sorted(answer.status_code for answer in racing) == [200] + [400] * 3
    assert {a.json()["code"] for a in racing if a.status_code == 400} == {"webauthn_challenge_not_found"}
    missing = await post.call("POST", verify, person.bearer, challenge_id=str(uuid4()), credential={})
    assert refusal(missing) == (400, "webauthn_challenge_not_found")
    assert refusal(await post.call("POST", verify, person.bearer)) == (400, "validation_failed")
    malformed = await post.call("POST", verify, person.bearer, challenge_id="x", credential={})
    assert refusal(malformed) == (400, "bad_json")
    late = await ask(post)
    await post.execute(
        "update auth.webauthn_challenges set expires_at = now() - interval '1 s' where id = $1::uuid",
        late["challenge_id"],
    )
    answer = await post.call(
        "POST",
        "/passkeys/authentication/verify",
        challenge_id=late["challenge_id"],
        credential=key.sign(late["options"]),
    )
    assert refusal(answer) == (400, "webauthn_challenge_expired")
    await ask(post)
    await post.execute("update auth.webauthn_challenges set expires_at = now() - interval '1 s'")
    await purge_flows(post.served.runtime)
    assert await post.rows("select 1 from auth.webauthn_challenges") == []


async def test_one_key_belongs_to_one_user(post: Post) -> None:
    person, thief, key = await signed_in(post), await signed_in(post), SecurityKey()
    await register(post, person, key)
    assert refusal(await register(post, thief, key)) == (422, "webauthn_credential_exists")
    (mine,) = (await post.call("GET", "/passkeys", person.bearer)).json()
    for method, body in (("PATCH", {"friendly_name": "x"}), ("DELETE", {})):
        for headers, passkey_id, code in (
            (thief.bearer, mine["id"], "webauthn_credential_not_found"),
            (person.bearer, str(uuid4()), "webauthn_credential_not_found"),
            (person.bearer, "nonsense", "validation_failed"),
        ):
            answer = await post.call(method, f"/passkeys/{passkey_id}", headers, **body)
            assert refusal(answer) == (404, code)
    for name in ("x" * 121, "\0"):
        answer = await post.call("PATCH", f"/passkeys/{mine['id']}", person.bearer, friendly_name=name)
        assert refusal(answer) == (400, "validation_failed")
    nothing = await post.client.patch(f"/auth/v1/passkeys/{mine['id']}", headers=person.bearer, json={})
    assert refusal(nothing) == (400, "validation_failed")


async def test_who_cannot_register(post: Post) -> None:
    session = (await post.call("POST", "/signup")).json()
    anonymous = {"Authorization": f"Bearer {session['access_token']}"}
    options = "/passkeys/registration/options"
    assert refusal(await post.call("POST", options, anonymous)) == (403, "no_authorization")
    assert refusal(await post.call("POST", options)) == (401, "no_authorization")
    person = await signed_in(post)
    await strengthened(post, person, await enroll(post, person))
    weak = await post.sign_in(person.email)
    assert refusal(await post.call("POST", options, weak.bearer)) == (403, "insufficient_aal")
    managed = await signed_in(post)
    await post.execute("update auth.users set is_sso_user = true where id = $1", managed.id)
    assert refusal(await post.call("POST", options, managed.bearer)) == (422, "user_sso_managed")


async def test_ten_passkeys_and_no_more(post: Post) -> None:
    person = await signed_in(post)
    last = await begin(post, person)
    for _ in range(10):
        assert (await register(post, person, SecurityKey())).status_code == 200
    answer = await post.call("POST", "/passkeys/registration/options", person.bearer)
    assert refusal(answer) == (422, "too_many_passkeys")
    late = {"challenge_id": last["challenge_id"], "credential": SecurityKey().create(last["options"])}
    answer = await post.call("POST", "/passkeys/registration/verify", person.bearer, **late)
    assert refusal(answer) == (422, "too_many_passkeys")


async def test_who_is_banned_or_deleted_does_not_sign_in(post: Post) -> None:
    person, key = await signed_in(post), SecurityKey()
    await register(post, person, key)
    await post.call("PUT", f"/admin/users/{person.id}", ADMIN, ban_duration="1h")
    assert refusal(await sign_in(post, key)) == (400, "user_banned")
    await post.execute("update auth.users set deleted_at = now() where id = $1", person.id)
    assert refusal(await sign_in(post, key)) == (400, "webauthn_credential_not_found")


async def test_administrators(post: Post) -> None:
    person = await signed_in(post)
    made = (await register(post, person, SecurityKey())).json()
    path = f"/admin/users/{person.id}/passkeys"
    assert [shown["id"] for shown in (await post.call("GET", path, ADMIN)).json()] == [made["id"]]
    assert refusal(await post.call("GET", path, person.bearer)) == (403, "not_admin")
    assert (await post.call("DELETE", f"{path}/{made['id']}", ADMIN)).status_code == 204
    for method, missing, code in (
        ("DELETE", f"{path}/{made['id']}", "webauthn_credential_not_found"),
        ("DELETE", f"{path}/nonsense", "validation_failed"),
        ("GET", f"/admin/users/{uuid4()}/passkeys", "user_not_found"),
        ("GET", "/admin/users/nonsense/passkeys", "validation_failed"),
    ):
        assert refusal(await post.call(method, missing, ADMIN)) == (404, code)


ROUTES = [
    ("POST", "/passkeys/registration/options"),
    ("POST", "/passkeys/registration/verify"),
    ("POST", "/passkeys/authentication/options"),
    ("POST", "/passkeys/authentication/verify"),
    ("GET", "/passkeys"),
    ("PATCH", f"/passkeys/{uuid4()}"),
    ("DELETE", f"/passkeys/{uuid4()}"),
    ("GET", f"/admin/users/{uuid4()}/passkeys"),
    ("DELETE", f"/admin/users/{uuid4()}/passkeys/{uuid4()}"),
]


async def test_disabled_and_without_redis(connections: Connections) -> None:
    async with running_app(connections) as served:
        post = Post(served)
        person = await post.sign_up()
        assert (await post.call("GET", "/settings")).json()["passkeys_enabled"] is False
        for method, path in ROUTES:
            headers = ADMIN if "/admin/" in path else person.bearer
            body = {"friendly_name": "x"} if method == "PATCH" else {}
            answer = await post.client.request(
                method, f"/auth/v1{path}", headers={**headers, **V2}, json=body
            )
            assert refusal(answer) == (404, "passkey_disabled"), path
    lost = Connections(connections.owner_url, connections.data_url, Secret("redis://127.0.0.1:1/0"))
    async with running_app(lost, auth_passkey_enabled="true") as served:
        for _, path in ROUTES[:4]:
            answer = await Post(served).call("POST", path, person.bearer)
            assert refusal(answer) == (503, "redis_unavailable")
