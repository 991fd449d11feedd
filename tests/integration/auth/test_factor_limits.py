"""How often second factors may be tried, what settings and hooks refuse, and what happens without Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from monohull.kernel.home import Connections
from monohull.kernel.settings import Secret
from tests.application import running_app
from tests.integration.auth.authenticator_app import answer_with, challenge, enroll, strengthened
from tests.integration.auth.post import Post

if TYPE_CHECKING:
    import httpx

HOOK = "python://tests.integration.auth.hook_functions/refuse_factors"
RELAXED = {
    "auth_rate_limit_otp": "100000",
    "auth_rate_limit_token_refresh": "100000",
    "auth_mfa_rate_limit_challenge_and_verify": "100000",
    "auth_rate_limit_factor_failures": "100000",
    "trusted_proxies": "127.0.0.0/8",
}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_guessing_is_slowed_down_over_all_addresses_and_processes(connections: Connections) -> None:
    """The owner's address passes all the while; right codes cost nothing."""
    settings = {**RELAXED, "auth_rate_limit_account_failures": "3"}
    async with running_app(connections, **settings) as one, running_app(connections, **settings) as two:
        posts = Post(one), Post(two)
        person = await posts[0].sign_up()
        app = await enroll(posts[0], person)
        person = await strengthened(posts[0], person, app)
        answers = []
        for number in range(8):
            post, origin = posts[number % 2], {"X-Forwarded-For": f"198.51.100.{number}"}
            path = f"/factors/{app.factor_id}"
            asked = (await post.call("POST", f"{path}/challenge", {**person.bearer, **origin})).json()["id"]
            headers = {**person.bearer, **origin}
            answers.append(await post.call("POST", f"{path}/verify", headers, challenge_id=asked, code="1"))
        assert [answer.status_code for answer in answers] == [422] * 4 + [429] * 4
        assert answers[-1].json()["code"] == "over_request_rate_limit"
        assert int(answers[-1].headers["retry-after"]) >= 1
        await strengthened(posts[1], person, app)


async def test_wrong_codes_from_one_address(connections: Connections) -> None:
    async with running_app(connections, **{**RELAXED, "auth_rate_limit_factor_failures": "3"}) as served:
        post = Post(served)
        person, other = await post.sign_up(), await post.sign_up()
        app, others = await enroll(post, person), await enroll(post, other)
        for _ in range(3):
            wrong = await answer_with(post, person, app.factor_id, "000000x")
            assert refusal(wrong) == (422, "mfa_verification_failed")
        right = await answer_with(post, person, app.factor_id, app.code())
        assert refusal(right) == (429, "over_request_rate_limit")
        await strengthened(post, other, others)


async def test_requests_from_one_address(connections: Connections) -> None:
    slowly = {"auth_mfa_rate_limit_challenge_and_verify": "1"}  # none comes back while the machine stalls
    async with running_app(connections, **slowly) as served:
        post = Post(served)
        person = await post.sign_up()
        app = await enroll(post, person)
        for _ in range(30):
            await challenge(post, person, app.factor_id)
        for path in ("challenge", "verify"):
            answer = await post.call("POST", f"/factors/{app.factor_id}/{path}", person.bearer)
            assert refusal(answer) == (429, "over_request_rate_limit")


async def test_without_redis_no_factor_is_believed(connections: Connections) -> None:
    async with running_app(connections) as served:
        post = Post(served)
        person = await post.sign_up()
        app = await enroll(post, person)
        asked = await challenge(post, person, app.factor_id)
    lost = Connections(connections.owner_url, connections.data_url, Secret("redis://127.0.0.1:1/0"))
    async with running_app(lost) as served:
        for path, body in (("challenge", {}), ("verify", {"challenge_id": asked, "code": app.code()})):
            answer = await Post(served).call(
                "POST", f"/factors/{app.factor_id}/{path}", person.bearer, **body
            )
            assert refusal(answer) == (503, "redis_unavailable")
            assert int(answer.headers["retry-after"]) > 0


async def test_settings_that_refuse(connections: Connections) -> None:
    async with running_app(connections) as served:
        post = Post(served)
        person = await post.sign_up()
        app = await enroll(post, person)
        asked = await challenge(post, person, app.factor_id)
    off = {"auth_mfa_totp_enroll_enabled": "false", "auth_mfa_totp_verify_enabled": "false"}
    async with running_app(connections, **off) as served:
        post = Post(served)
        enrolment = await post.call("POST", "/factors", person.bearer, factor_type="totp")
        assert refusal(enrolment) == (422, "mfa_totp_enroll_not_enabled")
        for path, body in (("challenge", {}), ("verify", {"challenge_id": asked, "code": app.code()})):
            answer = await post.call("POST", f"/factors/{app.factor_id}/{path}", person.bearer, **body)
            assert refusal(answer) == (422, "mfa_totp_verify_not_enabled")
        assert (await post.call("DELETE", f"/factors/{app.factor_id}", person.bearer)).status_code == 200
    async with running_app(connections, auth_mfa_max_verified_factors="1") as served:
        post = Post(served)
        person = await strengthened(post, person, await enroll(post, person))
        another = await post.call("POST", "/factors", person.bearer, factor_type="totp")
        assert refusal(another) == (422, "too_many_enrolled_mfa_factors")


async def test_a_hook_may_refuse_and_sign_everybody_out(connections: Connections) -> None:
    async with running_app(connections, auth_hook_mfa_verification_attempt_uri=HOOK) as served:
        post = Post(served)
        person = await post.sign_up()
        elsewhere = await post.sign_in(person.email)
        app = await enroll(post, person)
        wrong = await answer_with(post, person, app.factor_id, "000000x")
        assert refusal(wrong) == (422, "mfa_verification_failed")
        answer = await answer_with(post, person, app.factor_id, app.code())
        assert refusal(answer) == (403, "mfa_verification_rejected")
        assert answer.json()["message"] == "no totp today"
        for gone in (person, elsewhere):
            assert refusal(await post.refresh(gone.refresh_token)) == (400, "refresh_token_not_found")
        assert (await post.events(person.id))[-1] == "auth.user_signed_out"
        (row,) = await post.rows("select status from auth.mfa_factors where user_id = $1", person.id)
        assert row["status"] == "unverified"


async def test_a_factor_of_another_secret_says_so(connections: Connections) -> None:
    async with running_app(connections) as served:
        post = Post(served)
        person = await post.sign_up()
        app, other = await enroll(post, person, "a"), await enroll(post, person, "b")
        await post.execute(
            "update auth.mfa_factors set secret = (select secret from auth.mfa_factors where id = $1::uuid)"
            " where id = $2::uuid",
            other.factor_id,
            app.factor_id,
        )
        answer = await answer_with(post, person, app.factor_id, other.code())
        assert refusal(answer) == (422, "mfa_verification_failed")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"challenge_id": "nonsense"}, "bad_json"),
        ({"code": "123456"}, "validation_failed"),
        ({"code": 1}, "bad_json"),
    ],
    ids=["no uuid", "no challenge", "no text"],
)
async def test_bodies_that_cannot_be_read(
    connections: Connections, body: dict[str, object], code: str
) -> None:
    async with running_app(connections) as served:
        post = Post(served)
        person = await post.sign_up()
        app = await enroll(post, person)
        answer = await post.call("POST", f"/factors/{app.factor_id}/verify", person.bearer, **body)
        assert refusal(answer) == (400, code)


async def test_a_session_without_tokens_cannot_be_strengthened(connections: Connections) -> None:
    """Its family was revoked for reuse; the access token is still good for a while."""
    async with running_app(connections) as served:
        post = Post(served)
        person = await post.sign_up()
        app = await enroll(post, person)
        await post.execute("update auth.refresh_tokens set revoked = true where user_id = $1", str(person.id))
        answer = await answer_with(post, person, app.factor_id, app.code())
        assert refusal(answer) == (403, "session_not_found")
        unknown = await post.call("POST", f"/factors/{uuid4()}/challenge", person.bearer)
        assert refusal(unknown) == (404, "mfa_factor_not_found")
