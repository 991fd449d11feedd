"""Sign-ups that have to be confirmed, links and codes, and what they leave behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from monohull.kernel.clock import monotonic_seconds
from tests.factories.auth import PASSWORD
from tests.integration.auth.post import SITE, arrival, new_email, new_phone

if TYPE_CHECKING:
    from tests.integration.auth.post import Post

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPIRED = ("otp_expired", "Token has expired or is invalid")


async def signed_up(post: Post, email: str, **body: Any) -> dict[str, Any]:
    answer = await post.call("POST", "/signup", email=email, password=PASSWORD, **body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_sign_up_waits_for_its_link(post: Post) -> None:
    email = new_email()
    user = await signed_up(post, email.upper(), data={"name": "Ada"})
    assert "access_token" not in user
    assert user["email"] == email
    assert user["user_metadata"] == {"name": "Ada"}
    assert "email_confirmed_at" not in user
    assert user["confirmation_sent_at"]
    assert user["identities"][0]["identity_data"]["email_verified"] is False
    refused = await post.grant("password", email=email, password=PASSWORD)
    assert refused.json()["code"] == "email_not_confirmed"

    letter = await post.letter(email)
    assert letter["template"] == "confirmation"
    assert letter["code"] in letter["text"]
    assert letter["link"] in letter["text"]
    assert letter["link"].startswith("http://127.0.0.1:8000/auth/v1/verify?token=")
    base, query, fragment = arrival(await post.follow(letter["link"]))
    assert (base, query) == (SITE, {})
    assert list(fragment) == [
        "access_token", "expires_at", "expires_in", "refresh_token", "sb", "token_type", "type",
    ]  # fmt: skip
    assert fragment["type"] == "signup"
    me = (await post.call("GET", "/user", {"Authorization": f"Bearer {fragment['access_token']}"})).json()
    assert me["id"] == user["id"]
    assert me["email_confirmed_at"] == me["confirmed_at"]
    assert me["user_metadata"] == {"name": "Ada", "email_verified": True}
    assert me["identities"][0]["identity_data"]["email_verified"] is True
    await post.sign_in(email)
    assert "auth.email_confirmed" in await post.events(me["id"])


async def test_a_link_works_once_and_names_its_error(post: Post) -> None:
    email = new_email()
    await signed_up(post, email)
    link = (await post.letter(email))["link"]
    answers = await asyncio.gather(*(post.follow(link) for _ in range(5)))
    assert sorted("access_token" in arrival(answer)[2] for answer in answers) == [False] * 4 + [True]
    _, query, fragment = arrival(await post.follow(link))
    assert query == {}
    assert fragment == {
        "error": "access_denied",
        "error_code": "otp_expired",
        "error_description": "Email link is invalid or has expired",
        "sb": "",
    }


async def test_a_code_does_what_the_link_does(post: Post) -> None:
    email = new_email()
    await signed_up(post, email)
    code = (await post.letter(email))["code"]
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for body in (
        {"type": "signup", "email": email, "token": wrong},
        {"type": "signup", "email": new_email(), "token": code},
        {"type": "invite", "email": new_email(), "token": code},
        {"type": "email_change", "email": email, "token": code},
    ):
        answer = await post.call("POST", "/verify", **body)
        assert (answer.status_code, (answer.json()["code"], answer.json()["message"])) == (403, EXPIRED)
    answer = await post.call("POST", "/verify", type="email", email=email.upper(), token=code)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["email"] == email
    again = await post.call("POST", "/verify", type="email", email=email, token=code)
    assert again.json()["code"] == "otp_expired"


async def test_the_links_token_is_stored_as_a_hash_and_cannot_be_computed(post: Post) -> None:
    email = new_email()
    user = await signed_up(post, email)
    letter = await post.letter(email)
    token = parse_qs(urlsplit(letter["link"]).query)["token"][0]
    (row,) = await post.rows("select * from auth.one_time_tokens where user_id = $1", user["id"])
    assert row["token_hash"] != token
    assert (row["token_type"], row["relates_to"]) == ("confirmation_token", email)
    (job,) = await post.rows("select arguments::text from monohull.jobs where arguments ->> 'to' = $1", email)
    assert token not in job["arguments"]
    assert letter["code"] not in job["arguments"]
    answer = await post.call("POST", "/verify", type="signup", token_hash=token)
    assert answer.status_code == 200


async def test_what_was_sent_expires(post: Post) -> None:
    email = new_email()
    user = await signed_up(post, email)
    letter = await post.letter(email)
    await post.execute(
        "update auth.one_time_tokens set created_at = now() - interval '61 minutes' where user_id = $1",
        user["id"],
    )
    assert arrival(await post.follow(letter["link"]))[2]["error_code"] == "otp_expired"
    answer = await post.call("POST", "/verify", type="signup", email=email, token=letter["code"])
    assert answer.json()["code"] == "otp_expired"


async def test_somebody_who_exists_is_not_told_from_somebody_new(post: Post) -> None:
    email = new_email()
    await signed_up(post, email)
    await post.follow((await post.letter(email))["link"])
    began = monotonic_seconds()
    answer = await post.call("POST", "/signup", email=email, password=PASSWORD, data={"a": 1})
    known_seconds = monotonic_seconds() - began
    assert answer.status_code == 200
    fake = answer.json()
    assert (fake["identities"], fake["role"]) == ([], "")
    assert fake["user_metadata"] == {"a": 1}
    assert "email_confirmed_at" not in fake
    assert not await post.rows("select 1 from auth.users where id = $1", fake["id"])
    began = monotonic_seconds()
    real = await signed_up(post, new_email(), data={"a": 1})
    new_seconds = monotonic_seconds() - began
    assert set(real) == set(fake)
    assert min(known_seconds, new_seconds) >= 0.199
    assert len(await post.letters(email)) == 1


async def test_a_second_sign_up_sends_another_link_to_the_same_user(post: Post) -> None:
    email = new_email()
    first = await signed_up(post, email)
    old = (await post.letter(email))["link"]
    second = await signed_up(post, email)
    assert second["id"] == first["id"]
    new = (await post.letter(email, number=2))["link"]
    assert "error" in arrival(await post.follow(old))[2]
    assert "access_token" in arrival(await post.follow(new))[2]
    await post.sign_in(email)


async def test_a_stranger_cannot_sign_up_in_advance_and_wait(post: Post) -> None:
    """The owner of the mailbox confirms; the password that somebody else chose does not survive that."""
    email = new_email()
    await post.call("POST", "/signup", email=email, password="the-strangers-choice")
    await post.letter(email)
    await signed_up(post, email)
    link = (await post.letter(email, number=2))["link"]
    assert "access_token" in arrival(await post.follow(link))[2]
    for password in ("the-strangers-choice", PASSWORD):
        answer = await post.grant("password", email=email, password=password)
        assert answer.json()["code"] == "invalid_credentials"


async def test_magic_links_do_not_keep_a_strangers_password_either(post: Post) -> None:
    email = new_email()
    await post.call("POST", "/signup", email=email, password="the-strangers-choice")
    await post.letter(email)
    assert (await post.call("POST", "/otp", email=email)).json() == {}
    letter = await post.letter(email, number=2)
    answer = await post.call("POST", "/verify", type="email", email=email, token=letter["code"])
    assert answer.status_code == 200
    refused = await post.grant("password", email=email, password="the-strangers-choice")
    assert refused.json()["code"] == "invalid_credentials"


async def test_links_end_where_it_is_allowed(post: Post) -> None:
    link = ""
    for wanted, ends in (
        ("https://a.example.org/welcome?x=1", "https://a.example.org/welcome"),
        ("https://evil.example.com/", SITE),
        ("http://localhost.evil.io/", SITE),
    ):
        email = new_email()
        answer = await post.client.post(
            "/auth/v1/signup", params={"redirect_to": wanted}, json={"email": email, "password": PASSWORD}
        )
        assert answer.status_code == 200
        link = (await post.letter(email))["link"]
        assert arrival(await post.follow(link))[0] == ends
    forged = f"{link}&redirect_to=https://evil.example.com/"
    assert arrival(await post.follow(forged))[0] == SITE


async def test_sign_up_by_phone(post: Post) -> None:
    phone = new_phone()
    answer = await post.call("POST", "/signup", phone=f"+{phone}", password=PASSWORD)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["phone"], answer.json()["email"]) == (phone, "")
    refused = await post.grant("password", phone=phone, password=PASSWORD)
    assert refused.json()["code"] == "phone_not_confirmed"
    message = await post.letter(phone)
    assert message["kind"] == "sms"
    assert message["text"] == f"Your code is {message['code']}"
    answer = await post.call("POST", "/verify", type="sms", phone=f"+{phone}", token=message["code"])
    assert answer.status_code == 200, answer.text
    user = answer.json()["user"]
    assert user["phone_confirmed_at"]
    assert user["app_metadata"] == {"provider": "phone", "providers": ["phone"]}
    assert user["user_metadata"] == {}
    assert (await post.grant("password", phone=phone, password=PASSWORD)).status_code == 200


async def test_a_test_number_gets_no_message_and_its_own_code(post: Post) -> None:
    phone = "15550001111"
    assert (await post.call("POST", "/otp", phone=phone)).json() == {}
    answer = await post.call("POST", "/verify", type="sms", phone=phone, token="424242")
    assert answer.status_code == 200, answer.text
    assert await post.letters(phone) == []


async def test_anonymous_users_become_permanent(post: Post) -> None:
    answer = await post.call("POST", "/signup", data={"cart": 3})
    assert answer.status_code == 200, answer.text
    session = answer.json()
    bearer = {"Authorization": f"Bearer {session['access_token']}"}
    user = session["user"]
    assert (user["is_anonymous"], user["identities"], user["app_metadata"]) == (True, [], {})
    assert user["user_metadata"] == {"cart": 3}
    refused = await post.call("PUT", "/user", bearer, password="another-password")
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")

    email = new_email()
    answer = await post.call("PUT", "/user", bearer, email=email)
    assert answer.json()["new_email"] == email
    link = (await post.letter(email))["link"]
    assert "access_token" in arrival(await post.follow(link))[2]
    me = (await post.call("GET", "/user", bearer)).json()
    assert (me["id"], me["email"], me["is_anonymous"]) == (user["id"], email, False)
    assert me["identities"][0]["provider"] == "email"
    assert me["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert await post.events(user["id"])  == [
        "auth.user_signed_up", "auth.user_signed_in", "auth.email_change_requested", "auth.user_updated",
        "auth.user_converted", "auth.email_changed", "auth.user_signed_in",
    ]  # fmt: skip
