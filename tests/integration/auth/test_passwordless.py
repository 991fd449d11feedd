"""Links and codes to sign in with, recovery, repeated sending, and PKCE."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.clock import monotonic_seconds
from tests.factories.auth import PASSWORD
from tests.integration.auth.post import SITE, arrival, new_email, new_phone, signed_in

if TYPE_CHECKING:
    from tests.integration.auth.post import Post

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
PKCE: dict[str, Any] = {"code_challenge": CHALLENGE, "code_challenge_method": "s256"}


async def test_a_link_to_sign_in_with(post: Post) -> None:
    person = await signed_in(post)
    for number, path in enumerate(("/otp", "/magiclink"), start=2):
        assert (await post.call("POST", path, email=person.email)).json() == {}
        letter = await post.letter(person.email, number=number)
        assert letter["template"] == "magic_link"
        _, _, fragment = arrival(await post.follow(letter["link"]))
        assert fragment["type"] == "magiclink"
    await post.sign_in(person.email)


async def test_a_link_signs_new_people_up(post: Post) -> None:
    email = new_email()
    assert (await post.call("POST", "/otp", email=email, data={"name": "Grace"})).json() == {}
    letter = await post.letter(email)
    assert letter["template"] == "confirmation"
    answer = await post.call("POST", "/verify", type="email", email=email, token=letter["code"])
    session = answer.json()
    assert session["user"]["user_metadata"] == {"name": "Grace", "email_verified": True}
    (row,) = await post.rows("select encrypted_password from auth.users where email = $1", email)
    assert row["encrypted_password"] is None


async def test_without_signing_up(post: Post) -> None:
    bodies: list[dict[str, Any]] = [{"email": new_email()}, {"phone": new_phone()}]
    for body in bodies:
        answer = await post.call("POST", "/otp", **body, create_user=False)
        assert (answer.status_code, answer.json()["code"]) == (422, "otp_disabled")


async def test_codes_by_phone(post: Post) -> None:
    phone = new_phone()
    answer = await post.call("POST", "/otp", phone=phone, channel="sms")
    assert answer.json()["message_id"]
    message = await post.letter(phone)
    answer = await post.call("POST", "/verify", type="sms", phone=phone, token=message["code"])
    assert answer.json()["user"]["phone"] == phone


async def test_recovery_sets_a_new_password(post: Post) -> None:
    person = await signed_in(post)
    assert (await post.call("POST", "/recover", email=person.email)).json() == {}
    letter = await post.letter(person.email, number=2)
    assert letter["template"] == "recovery"
    _, _, fragment = arrival(await post.follow(letter["link"]))
    assert fragment["type"] == "recovery"
    bearer = {"Authorization": f"Bearer {fragment['access_token']}"}
    answer = await post.call("PUT", "/user", bearer, password="a-new-password")
    assert answer.status_code == 200, answer.text
    assert (await post.refresh(person.refresh_token)).json()["code"] == "refresh_token_not_found"
    await post.sign_in(person.email, "a-new-password")
    notice = await post.letter(person.email, number=3)
    assert notice["template"] == "password_changed_notification"
    assert {"auth.password_recovery_requested", "auth.password_changed"} <= set(await post.events(person.id))


@pytest.mark.parametrize("path", ["/recover", "/resend", "/otp"])
async def test_an_address_that_nobody_has_is_answered_like_any_other(post: Post, path: str) -> None:
    person = await signed_in(post)
    more: dict[str, Any] = {"type": "signup"} if path == "/resend" else {}
    seen = []
    for email in (person.email, new_email()):
        began = monotonic_seconds()
        answer = await post.call("POST", path, email=email, **more)
        seen.append((answer.status_code, answer.json()))
        assert monotonic_seconds() - began >= 0.199
    assert seen == [(200, {})] * 2


async def test_resend(post: Post) -> None:
    email, phone = new_email(), new_phone()
    await post.call("POST", "/signup", email=email, password=PASSWORD)
    await post.call("POST", "/signup", phone=phone, password=PASSWORD)
    old = [await post.letter(email), await post.letter(phone)]
    assert (await post.call("POST", "/resend", type="signup", email=email)).json() == {}
    assert (await post.call("POST", "/resend", type="sms", phone=phone)).json()["message_id"]
    new = [await post.letter(email, number=2), await post.letter(phone, number=2)]
    if old[0]["code"] != new[0]["code"]:
        stale = await post.call("POST", "/verify", type="signup", email=email, token=old[0]["code"])
        assert stale.json()["code"] == "otp_expired"
    bodies: list[dict[str, Any]] = [
        {"type": "signup", "email": email, "token": new[0]["code"]},
        {"type": "sms", "phone": phone, "token": new[1]["code"]},
    ]
    for body in bodies:
        assert (await post.call("POST", "/verify", **body)).status_code == 200


async def test_pkce_ends_with_a_code(post: Post) -> None:
    email = new_email()
    await post.call("POST", "/signup", email=email, password=PASSWORD, **PKCE)
    letter = await post.letter(email)
    assert "token=pkce_" in letter["link"]
    base, query, fragment = arrival(await post.follow(letter["link"]))
    assert (base, fragment, list(query)) == (SITE, {}, ["code"])
    code = query["code"]
    wrong = await post.grant("pkce", auth_code=code, code_verifier="x" * 43)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_code_verifier")
    session = await post.grant("pkce", auth_code=code, code_verifier=VERIFIER)
    assert session.status_code == 200, session.text
    assert session.json()["user"]["email"] == email
    again = await post.grant("pkce", auth_code=code, code_verifier=VERIFIER)
    assert (again.status_code, again.json()["code"]) == (404, "flow_state_not_found")
    assert not await post.rows(
        "select 1 from auth.flow_state where user_id = $1", session.json()["user"]["id"]
    )


async def test_every_flow_can_end_with_a_code(post: Post) -> None:
    person = await signed_in(post)
    plain: dict[str, Any] = {"code_challenge": VERIFIER, "code_challenge_method": "PLAIN"}
    for number, path in enumerate(("/otp", "/recover"), start=2):
        await post.call("POST", path, email=person.email, **plain)
        letter = await post.letter(person.email, number=number)
        code = arrival(await post.follow(letter["link"]))[1]["code"]
        answer = await post.grant("pkce", auth_code=code, code_verifier=VERIFIER)
        assert answer.status_code == 200, answer.text


async def test_a_pkce_code_expires(post: Post) -> None:
    person = await signed_in(post)
    await post.call("POST", "/otp", email=person.email, **PKCE)
    link = (await post.letter(person.email, number=2))["link"]
    code = arrival(await post.follow(link))[1]["code"]
    await post.execute("update auth.flow_state set auth_code_issued_at = now() - interval '6 minutes'")
    answer = await post.grant("pkce", auth_code=code, code_verifier=VERIFIER)
    assert (answer.status_code, answer.json()["code"]) == (422, "flow_state_expired")


async def test_a_pkce_link_that_failed_says_so_in_the_query_too(post: Post) -> None:
    answer = await post.follow("/auth/v1/verify?token=pkce_nothing&type=signup")
    _, query, fragment = arrival(answer)
    assert query == fragment
    assert query["error_code"] == "otp_expired"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/otp", {}, 400, "validation_failed"),
        ("/otp", {"email": "a@b.io", "phone": "491"}, 400, "validation_failed"),
        ("/otp", {"email": "a@b.io", "channel": "sms"}, 400, "validation_failed"),
        ("/otp", {"phone": "49123", "channel": "pigeon"}, 400, "validation_failed"),
        ("/otp", {"phone": "0123"}, 400, "validation_failed"),
        ("/otp", {"email": "nobody"}, 400, "validation_failed"),
        ("/otp", {"email": "a@b.io", "data": {"a": "\0"}}, 400, "validation_failed"),
        ("/otp", {"email": "a@b.io", "code_challenge": CHALLENGE}, 400, "validation_failed"),
        ("/otp", {"email": "a@b.io", **PKCE, "code_challenge": "short"}, 400, "validation_failed"),
        ("/otp", {"email": "a@b.io", **PKCE, "code_challenge_method": "s512"}, 400, "validation_failed"),
        ("/magiclink", {}, 400, "validation_failed"),
        ("/magiclink", {"email": 7}, 400, "bad_json"),
        ("/recover", {}, 400, "validation_failed"),
        ("/recover", {"email": "nobody"}, 400, "validation_failed"),
        ("/resend", {"email": "a@b.io"}, 400, "validation_failed"),
        ("/resend", {"type": "recovery", "email": "a@b.io"}, 400, "validation_failed"),
        ("/resend", {"type": "signup", "phone": "491"}, 400, "validation_failed"),
        ("/resend", {"type": "sms", "email": "a@b.io"}, 400, "validation_failed"),
        ("/verify", {}, 400, "validation_failed"),
        ("/verify", {"type": "signup"}, 400, "validation_failed"),
        ("/verify", {"type": "signup", "token": "1", "token_hash": "2"}, 400, "validation_failed"),
        ("/verify", {"type": "signup", "token_hash": "2", "email": "a@b.io"}, 400, "validation_failed"),
        ("/verify", {"type": "nothing", "token_hash": "2"}, 400, "validation_failed"),
        ("/verify", {"type": "signup", "token": "1"}, 400, "validation_failed"),
        ("/verify", {"type": "signup", "token": "1", "phone": "491"}, 400, "validation_failed"),
        ("/verify", {"type": "sms", "token": "1", "email": "a@b.io"}, 400, "validation_failed"),
        ("/verify", {"type": "email", "token": "1", "email": "nobody"}, 400, "validation_failed"),
        ("/verify", {"type": "sms", "token": "1", "phone": "0x1"}, 400, "validation_failed"),
        ("/verify", {"type": "email", "token": "1", "email": "a@b.io"}, 403, "otp_expired"),
        ("/verify", {"type": "signup", "token_hash": "\0"}, 403, "otp_expired"),
        ("/token?grant_type=pkce", {}, 400, "validation_failed"),
        ("/token?grant_type=pkce", {"auth_code": "x", "code_verifier": "y"}, 404, "flow_state_not_found"),
        ("/signup", {"phone": "49123", "password": PASSWORD, **PKCE}, 400, "validation_failed"),
        ("/signup", {"phone": "12x", "password": PASSWORD}, 400, "validation_failed"),
    ],
)  # fmt: skip
async def test_refusals(post: Post, path: str, body: dict[str, Any], status: int, code: str) -> None:
    answer = await post.call("POST", path, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_guessing_codes_ends(post: Post) -> None:
    """After fifty wrong codes even the right one is refused, and the link still works."""
    email = new_email()
    await post.call("POST", "/signup", email=email, password=PASSWORD)
    letter = await post.letter(email)
    for _ in range(50):
        answer = await post.call("POST", "/verify", type="signup", email=email, token="no")
        assert answer.json()["code"] == "otp_expired"
    answer = await post.call("POST", "/verify", type="signup", email=email, token=letter["code"])
    assert answer.json()["code"] == "otp_expired"
    assert "access_token" in arrival(await post.follow(letter["link"]))[2]
