"""What users change of their own account, and what has to be confirmed before it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.factories.auth import PASSWORD
from tests.integration.auth.post import arrival, new_email, new_phone, signed_in

if TYPE_CHECKING:
    from tests.integration.auth.post import Post

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("new_one_first", [True, False])
async def test_a_new_address_takes_both(post: Post, *, new_one_first: bool) -> None:
    person, new = await signed_in(post), new_email()
    answer = await post.call("PUT", "/user", person.bearer, email=new)
    assert (answer.json()["email"], answer.json()["new_email"]) == (person.email, new)
    to_old, to_new = await post.letter(person.email, number=2), await post.letter(new)
    assert (to_old["template"], to_new["template"]) == ("email_change_current", "email_change")
    first, second = (to_new, to_old) if new_one_first else (to_old, to_new)
    _, _, fragment = arrival(await post.follow(first["link"]))
    assert fragment == {
        "message": "Confirmation link accepted. Please proceed to confirm link sent to the other email",
        "sb": "",
    }
    assert (await post.call("GET", "/user", person.bearer)).json()["email"] == person.email
    assert "error" in arrival(await post.follow(first["link"]))[2]
    assert "access_token" in arrival(await post.follow(second["link"]))[2]
    me = (await post.call("GET", "/user", person.bearer)).json()
    assert me["email"] == new
    assert "new_email" not in me
    assert me["identities"][0]["identity_data"]["email"] == new
    await post.sign_in(new)
    notice = await post.letter(person.email, number=3)
    assert notice["template"] == "email_changed_notification"
    assert new in notice["text"]


async def test_codes_confirm_a_new_address_too(post: Post) -> None:
    person, new = await signed_in(post), new_email()
    await post.call("PUT", "/user", person.bearer, email=new)
    codes = {
        person.email: (await post.letter(person.email, number=2))["code"],
        new: (await post.letter(new))["code"],
    }
    first = await post.call(
        "POST", "/verify", type="email_change", email=person.email, token=codes[person.email]
    )
    assert first.json()["code"] == "200"
    second = await post.call("POST", "/verify", type="email_change", email=new, token=codes[new])
    assert second.json()["user"]["email"] == new


async def test_a_change_that_was_overtaken(post: Post) -> None:
    person, one, two = await signed_in(post), new_email(), new_email()
    await post.call("PUT", "/user", person.bearer, email=one)
    await post.call("PUT", "/user", person.bearer, email=two)
    assert "error" in arrival(await post.follow((await post.letter(one))["link"]))[2]
    await post.follow((await post.letter(two))["link"])
    taken = await post.call("POST", "/signup", email=two, password=PASSWORD)
    assert taken.status_code == 200
    await post.follow((await post.letter(two, number=2))["link"])
    last = (await post.letter(person.email, number=3))["link"]
    assert arrival(await post.follow(last))[2]["error_code"] == "email_exists"
    assert (await post.call("GET", "/user", person.bearer)).json()["email"] == person.email


async def test_an_address_of_somebody_else_is_refused(post: Post) -> None:
    person, other = await signed_in(post), await signed_in(post)
    answer = await post.call("PUT", "/user", person.bearer, email=other.email.upper())
    assert (answer.status_code, answer.json()["code"]) == (422, "email_exists")
    same = await post.call("PUT", "/user", person.bearer, email=person.email.upper())
    assert "new_email" not in same.json()


async def test_a_new_number(post: Post) -> None:
    person, phone = await signed_in(post), new_phone()
    answer = await post.call("PUT", "/user", person.bearer, phone=f"+{phone}")
    assert answer.json()["new_phone"] == phone
    code = (await post.letter(phone))["code"]
    answer = await post.call("POST", "/verify", type="phone_change", phone=phone, token=code)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["phone"] == phone
    assert answer.json()["user"]["app_metadata"]["providers"] == ["email", "phone"]
    other = await signed_in(post)
    answer = await post.call("PUT", "/user", other.bearer, phone=phone)
    assert (answer.status_code, answer.json()["code"]) == (422, "phone_exists")


async def test_a_second_factor_is_asked_for(post: Post) -> None:
    person = await signed_in(post)
    await post.execute(
        "insert into auth.mfa_factors (user_id, factor_type, status, secret)"
        " values ($1, 'totp', 'verified', 'x')",
        person.id,
    )
    bodies: list[dict[str, Any]] = [
        {"password": "another-password"},
        {"email": new_email()},
        {"phone": new_phone()},
    ]
    for body in bodies:
        answer = await post.call("PUT", "/user", person.bearer, **body)
        assert (answer.status_code, answer.json()["code"]) == (401, "insufficient_aal")
    assert (await post.call("PUT", "/user", person.bearer, data={"a": 1})).status_code == 200


async def test_users_of_an_organisation_are_kept_by_it(post: Post) -> None:
    person = await signed_in(post)
    await post.execute("update auth.users set is_sso_user = true where id = $1", person.id)
    answer = await post.call("PUT", "/user", person.bearer, password="another-password")
    assert (answer.status_code, answer.json()["code"]) == (422, "user_sso_managed")


async def test_who_has_no_confirmed_address_cannot_reauthenticate(post: Post) -> None:
    session = (await post.call("POST", "/signup")).json()
    answer = await post.call("GET", "/reauthenticate", {"Authorization": f"Bearer {session['access_token']}"})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
