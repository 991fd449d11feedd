"""Second factors that are keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.application import running_app
from tests.integration.auth.authenticator_app import answer_with, challenge
from tests.integration.auth.people import Person
from tests.integration.auth.post import Post, signed_in
from tests.integration.auth.security_key import SecurityKey, b64

if TYPE_CHECKING:
    import httpx

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIES: list[tuple[str, dict[str, Any]]] = [
    ("origin", {"origin": "https://evil.example.com"}),
    ("challenge", {"challenge": b64(b"x" * 64)}),
    ("site", {"rp_id": "evil.example.com"}),
]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def enroll(post: Post, person: Person, name: str = "key") -> str:
    answer = await post.call("POST", "/factors", person.bearer, factor_type="webauthn", friendly_name=name)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"id": answer.json()["id"], "type": "webauthn", "friendly_name": name}
    return str(answer.json()["id"])


async def answer_by(
    post: Post, person: Person, factor_id: str, key: SecurityKey, **lies: Any
) -> httpx.Response:
    """Ask a factor, and let ``key`` make or sign what is asked for."""
    body = {"webauthn": {"rp_id": "evil.example.com"}}  # not the body's to say
    asked = (await post.call("POST", f"/factors/{factor_id}/challenge", person.bearer, **body)).json()
    kind, options = asked["webauthn"]["type"], asked["webauthn"]["credential_options"]["publicKey"]
    made = key.create(options, **lies) if kind == "create" else key.sign(options, **lies)
    return await post.call(
        "POST",
        f"/factors/{factor_id}/verify",
        person.bearer,
        challenge_id=asked["id"],
        webauthn={"type": kind, "credential_response": made},
    )


async def test_a_key_is_made_and_signs(post: Post) -> None:
    person, key = await signed_in(post), SecurityKey()
    factor_id = await enroll(post, person)
    answer = await answer_by(post, person, factor_id, key)
    assert answer.status_code == 200, answer.text
    strong = Person(person.email, answer.json())
    claims = await post.claims(strong.tokens["access_token"])
    assert (claims["aal"], claims["amr"][0]["method"]) == ("aal2", "mfa/webauthn")
    (factor,) = strong.tokens["user"]["factors"]
    assert (factor["factor_type"], factor["status"]) == ("webauthn", "verified")
    assert factor["web_authn_aaguid"] == "00000000-0000-0000-0000-000000000000"
    assert "web_authn_credential" not in factor
    weak = await post.sign_in(person.email)
    asked = (await post.call("POST", f"/factors/{factor_id}/challenge", weak.bearer)).json()["webauthn"]
    assert asked["type"] == "request"
    assert asked["credential_options"]["publicKey"]["allowCredentials"][0]["id"] == b64(key.id)
    assert (await answer_by(post, weak, factor_id, key)).status_code == 200
    assert refusal(await answer_by(post, weak, factor_id, key, count=1)) == (422, "mfa_verification_failed")
    assert refusal(await answer_by(post, weak, factor_id, SecurityKey())) == (422, "mfa_verification_failed")
    renewed = (await post.refresh(strong.refresh_token)).json()
    assert renewed["user"]["factors"][0]["web_authn_aaguid"] == factor["web_authn_aaguid"]
    assert (await post.call("DELETE", f"/factors/{factor_id}", strong.bearer)).status_code == 200


@pytest.mark.parametrize("lies", [row[1] for row in LIES], ids=[row[0] for row in LIES])
async def test_liars(post: Post, lies: dict[str, Any]) -> None:
    person, key = await signed_in(post), SecurityKey()
    factor_id = await enroll(post, person)
    refused = (422, "mfa_verification_failed")
    assert refusal(await answer_by(post, person, factor_id, key, **lies)) == refused
    assert (await answer_by(post, person, factor_id, key)).status_code == 200
    assert refusal(await answer_by(post, person, factor_id, key, **lies)) == refused


async def test_an_answer_of_another_kind(post: Post) -> None:
    person = await signed_in(post)
    factor_id = await enroll(post, person)
    assert refusal(await answer_with(post, person, factor_id, "123456")) == (400, "validation_failed")
    asked = await challenge(post, person, factor_id)
    for answer in ({"type": "request", "credential_response": {}}, {"type": "create"}):
        verify = f"/factors/{factor_id}/verify"
        refused = await post.call("POST", verify, person.bearer, challenge_id=asked, webauthn=answer)
        assert refusal(refused) == (400, "validation_failed")


async def test_settings_that_refuse(connections: Connections) -> None:
    on = {"auth_mfa_web_authn_enroll_enabled": "true"}
    async with running_app(connections, **on) as served:
        post = Post(served)
        person = await post.sign_up()
        factor_id = await enroll(post, person)
        answer = await post.call("POST", f"/factors/{factor_id}/challenge", person.bearer)
        assert refusal(answer) == (422, "mfa_webauthn_verify_not_enabled")
    async with running_app(connections) as served:
        answer = await Post(served).call("POST", "/factors", person.bearer, factor_type="webauthn")
        assert refusal(answer) == (422, "mfa_webauthn_enroll_not_enabled")
