"""Second factors by text message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.application import running_app
from tests.integration.auth.authenticator_app import answer_with, challenge
from tests.integration.auth.people import Person
from tests.integration.auth.post import CONFIRMING, Post, new_phone, signed_in

if TYPE_CHECKING:
    import httpx

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def enroll(post: Post, person: Person, phone: str) -> str:
    answer = await post.call("POST", "/factors", person.bearer, factor_type="phone", phone=f"+{phone}")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["type"], answer.json()["phone"]) == ("phone", phone)
    return str(answer.json()["id"])


async def test_a_code_is_sent_for_each_challenge(post: Post) -> None:
    person, phone = await signed_in(post), new_phone()
    forgotten = await enroll(post, person, phone)
    factor_id = await enroll(post, person, phone)
    gone = await post.call("POST", f"/factors/{forgotten}/challenge", person.bearer)
    assert refusal(gone) == (404, "mfa_factor_not_found")
    wrong = await answer_with(post, person, factor_id, "1")
    assert refusal(wrong) == (422, "mfa_verification_failed")
    await post.letter(phone)
    asked = await challenge(post, person, factor_id, channel="sms")
    message = await post.letter(phone, number=2)
    assert message["text"] == f"Second factor: {message['code']}"
    (row,) = await post.rows("select otp_code from auth.mfa_challenges where id = $1::uuid", asked)
    assert message["code"] not in row["otp_code"]
    verify = f"/factors/{factor_id}/verify"
    other = await challenge(post, person, factor_id)
    for id_, code in ((other, message["code"]), (asked, "000000x")):
        wrong = await post.call("POST", verify, person.bearer, challenge_id=id_, code=code)
        assert refusal(wrong) == (422, "mfa_verification_failed")
    answer = await post.call("POST", verify, person.bearer, challenge_id=asked, code=message["code"])
    strong = Person(person.email, answer.json())
    claims = await post.claims(strong.tokens["access_token"])
    assert (claims["aal"], claims["amr"][0]["method"]) == ("aal2", "mfa/phone")
    assert strong.tokens["user"]["factors"][0]["phone"] == phone
    again = await post.call("POST", verify, person.bearer, challenge_id=asked, code=message["code"])
    assert refusal(again) == (422, "mfa_factor_not_found")
    same = await post.call("POST", "/factors", strong.bearer, factor_type="phone", phone=phone)
    assert refusal(same) == (422, "mfa_verified_factor_exists")


async def test_a_test_number_gets_no_message(post: Post) -> None:
    person = await signed_in(post)
    factor_id = await enroll(post, person, "15550001111")
    assert (await answer_with(post, person, factor_id, "424242")).status_code == 200
    assert await post.letters("15550001111") == []


async def test_what_is_refused(post: Post) -> None:
    person = await signed_in(post)
    for phone in ("", "nobody"):
        answer = await post.call("POST", "/factors", person.bearer, factor_type="phone", phone=phone)
        assert refusal(answer) == (400, "validation_failed")
    factor_id = await enroll(post, person, new_phone())
    channel = await post.call("POST", f"/factors/{factor_id}/challenge", person.bearer, channel="pigeon")
    assert refusal(channel) == (400, "validation_failed")


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"auth_mfa_phone_verify_enabled": "false"}, 422, "mfa_phone_verify_not_enabled"),
        ({"auth_sms_provider": "twilio"}, 422, "sms_send_failed"),
        ({"auth_mfa_phone_max_frequency": "1m"}, 429, "over_sms_send_rate_limit"),
        ({"auth_rate_limit_sms_sent": "1"}, 429, "over_sms_send_rate_limit"),
    ],
    ids=["off", "no provider", "pause", "hourly"],
)
async def test_settings_that_refuse(
    connections: Connections, settings: dict[str, str], status: int, code: str
) -> None:
    options = {**CONFIRMING, "auth_mailer_autoconfirm": "true"}
    async with running_app(connections, **{**options, **settings}) as served:
        post = Post(served)
        person = await post.sign_up()
        factor_id = await enroll(post, person, new_phone())
        ask = f"/factors/{factor_id}/challenge"
        await post.call("POST", ask, person.bearer)
        answer = await post.call("POST", ask, person.bearer)
        assert refusal(answer) == (status, code)


async def test_enrolment_is_off_by_default(connections: Connections) -> None:
    async with running_app(connections) as served:
        person = await Post(served).sign_up()
        answer = await Post(served).call("POST", "/factors", person.bearer, factor_type="phone", phone="491")
        assert refusal(answer) == (422, "mfa_phone_enroll_not_enabled")
