"""Recovery codes: given once, used once, and void with the last factor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.application import running_app
from tests.integration.auth.authenticator_app import answer_with, enroll, strengthened
from tests.integration.auth.post import Post, signed_in

if TYPE_CHECKING:
    import httpx

    from monohull.kernel.home import Connections
    from tests.integration.auth.people import Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODES = "/factors/recovery-codes"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def use(post: Post, person: Person, code: str) -> httpx.Response:
    return await post.call("POST", f"{CODES}/verify", person.bearer, code=code)


async def test_a_code_is_given_and_used_once(post: Post) -> None:
    person = await signed_in(post)
    assert refusal(await post.call("POST", CODES, person.bearer)) == (422, "mfa_recovery_codes_sole_factor")
    assert refusal(await post.call("GET", CODES, person.bearer)) == (404, "mfa_factor_not_found")
    app = await enroll(post, person)
    strong = await strengthened(post, person, app)
    weak = await post.sign_in(person.email)
    for method, path in (("POST", CODES), ("POST", f"{CODES}/regenerate"), ("DELETE", CODES)):
        assert refusal(await post.call(method, path, weak.bearer)) == (403, "insufficient_aal")
    for method, path in (("POST", f"{CODES}/regenerate"), ("DELETE", CODES)):
        assert refusal(await post.call(method, path, strong.bearer)) == (404, "mfa_factor_not_found")
    given = await post.call("POST", CODES, strong.bearer)
    assert given.headers["cache-control"] == "no-store"
    assert (given.json()["type"], given.json()["total"]) == ("recovery_code", 10)
    assert refusal(await post.call("POST", CODES, strong.bearer)) == (422, "mfa_verified_factor_exists")
    void = given.json()["codes"]
    codes = (await post.call("POST", f"{CODES}/regenerate", strong.bearer)).json()["codes"]
    assert len({*void, *codes}) == 20
    assert all(len(code) == 16 for code in codes)
    stored = await post.rows("select code_hash from auth.mfa_recovery_codes where user_id = $1", person.id)
    assert len(stored) == 10
    assert not {row["code_hash"] for row in stored} & {*codes}
    for wrong in (void[0], "", "nonsense"):
        assert refusal(await use(post, weak, wrong)) == (422, "mfa_verification_failed")
    answer = await use(post, weak, f"{codes[0][:4]} {codes[0][4:8]}-{codes[0][8:]}".upper())
    assert answer.status_code == 200, answer.text
    claims = await post.claims(answer.json()["access_token"])
    assert (claims["aal"], claims["amr"][0]["method"]) == ("aal2", "mfa/recovery_code")
    assert refusal(await use(post, weak, codes[0])) == (422, "mfa_verification_failed")
    racing = await asyncio.gather(*(use(post, weak, codes[1]) for _ in range(4)))
    assert sorted(answer.status_code for answer in racing) == [200] + [422] * 3
    status = (await post.call("GET", CODES, weak.bearer)).json()
    assert status == {"id": given.json()["id"], "type": "recovery_code", "total": 10, "remaining": 8}


async def test_a_code_in_the_place_of_a_factors_own(post: Post) -> None:
    person, other = await signed_in(post), await signed_in(post)
    app, others = await enroll(post, person), await enroll(post, other)
    strong = await strengthened(post, person, app)
    await strengthened(post, other, others)
    codes = (await post.call("POST", CODES, strong.bearer)).json()["codes"]
    refused = (422, "mfa_verification_failed")
    assert refusal(await answer_with(post, other, others.factor_id, codes[0])) == refused
    unused = await enroll(post, strong, "unused")
    assert refusal(await answer_with(post, strong, unused.factor_id, codes[0])) == refused
    weak = await post.sign_in(person.email)
    assert (await answer_with(post, weak, app.factor_id, codes[0])).status_code == 200
    assert refusal(await answer_with(post, weak, app.factor_id, codes[0])) == refused


async def test_they_go_with_the_last_factor_and_so_does_what_they_opened(post: Post) -> None:
    person = await signed_in(post)
    app = await enroll(post, person)
    strong = await strengthened(post, person, app)
    codes = (await post.call("POST", CODES, strong.bearer)).json()["codes"]
    rescued = await use(post, await post.sign_in(person.email), codes[0])
    assert (await post.call("DELETE", f"/factors/{app.factor_id}", strong.bearer)).status_code == 200
    assert await post.rows("select 1 from auth.mfa_recovery_codes where user_id = $1", person.id) == []
    renewed = (await post.refresh(rescued.json()["refresh_token"])).json()
    claims = await post.claims(renewed["access_token"])
    assert (claims["aal"], [entry["method"] for entry in claims["amr"]]) == ("aal1", ["password"])


async def test_they_can_be_given_back(post: Post) -> None:
    person = await signed_in(post)
    strong = await strengthened(post, person, await enroll(post, person))
    given = (await post.call("POST", CODES, strong.bearer)).json()
    assert (await post.call("DELETE", CODES, strong.bearer)).json() == {"id": given["id"]}
    assert refusal(await use(post, strong, given["codes"][0])) == (422, "mfa_verification_failed")
    assert (await post.events(person.id))[-1] == "auth.recovery_codes_deleted"


async def test_settings_limits_and_hooks(connections: Connections) -> None:
    async with running_app(connections, auth_rate_limit_factor_failures="2") as served:
        post = Post(served)
        person = await post.sign_up()
        strong = await strengthened(post, person, await enroll(post, person))
        codes = (await post.call("POST", CODES, strong.bearer)).json()["codes"]
        other = await post.sign_up()
        other = await strengthened(post, other, await enroll(post, other))
        others = (await post.call("POST", CODES, other.bearer)).json()["codes"]
        for _ in range(2):
            assert refusal(await use(post, strong, "wrong")) == (422, "mfa_verification_failed")
        locked = await use(post, strong, codes[0])
        assert refusal(locked) == (429, "mfa_recovery_codes_locked")
        assert int(locked.headers["retry-after"]) > 0
    off = {
        "auth_mfa_recovery_codes_enroll_enabled": "false",
        "auth_mfa_recovery_codes_verify_enabled": "false",
    }
    async with running_app(connections, **off) as served:
        post = Post(served)
        answer = await post.call("POST", CODES, strong.bearer)
        assert refusal(answer) == (422, "mfa_recovery_codes_enroll_not_enabled")
        answer = await use(post, strong, codes[0])
        assert refusal(answer) == (422, "mfa_recovery_codes_verify_not_enabled")
    hook = "python://tests.integration.auth.hook_functions/refuse_factors"
    async with running_app(connections, auth_hook_mfa_verification_attempt_uri=hook) as served:
        answer = await use(Post(served), other, others[0])
        assert refusal(answer) == (403, "mfa_verification_rejected")
        assert answer.json()["message"] == "no recovery_code today"
