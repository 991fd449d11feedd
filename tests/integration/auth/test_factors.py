"""Second factors by an authenticator app: set up, ask, answer, take away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest

from modules.auth.jobs import purge_flows
from monohull.kernel import clock
from tests.application import service_key
from tests.integration.auth.authenticator_app import answer_with, challenge, enroll, strengthened
from tests.integration.auth.people import V2, Person
from tests.integration.auth.post import new_email, signed_in
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    import httpx

    from tests.integration.auth.post import Post

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = {"Authorization": f"Bearer {service_key()}", **V2}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the clock: a step must not end between showing and comparing."""
    now = clock.unix_seconds()
    monkeypatch.setattr(clock, "unix_seconds", lambda: now)


async def test_from_one_factor_to_two(post: Post) -> None:
    person = await signed_in(post)
    answer = await post.call("POST", "/factors", person.bearer, factor_type="totp", friendly_name="Phone")
    assert answer.headers["cache-control"] == "no-store"
    enrolled = answer.json()
    assert (enrolled["type"], enrolled["friendly_name"]) == ("totp", "Phone")
    totp = enrolled["totp"]
    uri = urlsplit(totp["uri"])
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == (
        "otpauth",
        "totp",
        f"/app.example.com:{person.email}",
    )
    assert parse_qs(uri.query) == {
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "issuer": ["app.example.com"],
        "period": ["30"],
        "secret": [totp["secret"]],
    }
    assert ET.fromstring(totp["qr_code"]).tag == "{http://www.w3.org/2000/svg}svg"
    assert "#" not in totp["qr_code"]
    (row,) = await post.rows("select * from auth.mfa_factors where user_id = $1", person.id)
    assert row["status"] == "unverified"
    assert totp["secret"] not in row["secret"]
    me = (await post.call("GET", "/user", person.bearer)).json()
    (shown,) = me["factors"]
    always = {"id", "created_at", "updated_at", "status", "factor_type", "phone", "last_challenged_at"}
    assert shown.keys() == {*always, "friendly_name"}
    assert (shown["phone"], shown["last_challenged_at"]) == (None, None)


async def test_a_right_code_strengthens_the_session(post: Post) -> None:
    person = await signed_in(post)
    elsewhere = await post.sign_in(person.email)
    stale, app = await enroll(post, person, "stale"), await enroll(post, person, "app")
    asked = (await post.call("POST", f"/factors/{app.factor_id}/challenge", person.bearer)).json()
    assert asked["type"] == "totp"
    answer = await post.call(
        "POST", f"/factors/{app.factor_id}/verify", person.bearer, challenge_id=asked["id"], code=app.code()
    )
    strong = Person(person.email, answer.json())
    weak = await post.claims(person.tokens["access_token"])
    after = await post.claims(strong.tokens["access_token"])
    assert (weak["aal"], after["aal"]) == ("aal1", "aal2")
    assert after["session_id"] == weak["session_id"]
    assert [entry["method"] for entry in after["amr"]] == ["totp", "password"]
    assert strong.refresh_token != person.refresh_token
    (factor,) = strong.tokens["user"]["factors"]
    assert (factor["id"], factor["status"]) == (app.factor_id, "verified")
    assert factor["last_challenged_at"] is not None
    gone = await post.call("POST", f"/factors/{stale.factor_id}/challenge", strong.bearer)
    assert refusal(gone) == (404, "mfa_factor_not_found")
    assert refusal(await post.call("GET", "/user", elsewhere.bearer)) == (403, "session_not_found")
    renewed = (await post.refresh(strong.refresh_token)).json()
    claims = await post.claims(renewed["access_token"])
    assert (claims["aal"], [entry["method"] for entry in claims["amr"]]) == ("aal2", ["totp", "password"])
    assert [entry["id"] for entry in renewed["user"]["factors"]] == [app.factor_id]
    notice = await post.letter(person.email, number=2)
    assert notice["template"] == "mfa_factor_enrolled_notification"
    assert "TOTP" in notice["text"]
    assert (await post.events(person.id))[-4:] == [
        "auth.factor_enrolled",
        "auth.factor_enrolled",
        "auth.factor_verified",
        "auth.token_refreshed",
    ]
    later = await post.sign_in(person.email)  # a second device begins anew, and ends nobody's session
    assert (await post.claims(later.tokens["access_token"]))["aal"] == "aal1"
    await strengthened(post, later, app)
    assert (await post.refresh(renewed["refresh_token"])).status_code == 200


async def test_the_refresh_token_of_before_is_a_retry(post: Post) -> None:
    """Another tab renews with it while the second factor replaces it; nobody is signed out."""
    person = await signed_in(post)
    app = await enroll(post, person)
    strong = await strengthened(post, person, app)
    answer = await post.refresh(person.refresh_token)
    assert answer.status_code == 200, answer.text
    assert answer.json()["refresh_token"] == strong.refresh_token
    assert (await post.claims(answer.json()["access_token"]))["aal"] == "aal2"
    following = (await post.refresh(strong.refresh_token)).json()["refresh_token"]
    assert (await post.refresh(person.refresh_token)).json()["refresh_token"] == following


@pytest.mark.usefixtures("one_step")
async def test_a_code_is_right_once(post: Post) -> None:
    person = await signed_in(post)
    app = await enroll(post, person)
    first, second = [await challenge(post, person, app.factor_id) for _ in range(2)]
    verify = f"/factors/{app.factor_id}/verify"
    code = app.code()
    assert (await post.call("POST", verify, person.bearer, challenge_id=first, code=code)).status_code == 200
    again = await post.call("POST", verify, person.bearer, challenge_id=second, code=code)
    assert refusal(again) == (422, "mfa_verification_failed")
    assert again.json()["message"] == "Invalid TOTP code entered"
    used = await post.call("POST", verify, person.bearer, challenge_id=first, code=app.code(1))
    assert refusal(used) == (422, "mfa_factor_not_found")
    earlier = await post.call("POST", verify, person.bearer, challenge_id=second, code=app.code(-1))
    assert refusal(earlier) == (422, "mfa_verification_failed")
    later = await post.call("POST", verify, person.bearer, challenge_id=second, code=app.code(1))
    assert later.status_code == 200


async def test_of_many_requests_with_one_code_one_succeeds(post: Post) -> None:
    person = await signed_in(post)
    app = await enroll(post, person)
    asked = [await challenge(post, person, app.factor_id) for _ in range(6)]
    code = app.code()
    answers = await asyncio.gather(
        *(
            post.call("POST", f"/factors/{app.factor_id}/verify", person.bearer, challenge_id=id_, code=code)
            for id_ in asked
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 5


@pytest.mark.parametrize(("steps", "status"), [(-2, 422), (-1, 200), (1, 200), (3, 422)])
@pytest.mark.usefixtures("one_step")
async def test_clocks_may_differ_by_one_step(post: Post, steps: int, status: int) -> None:
    person = await signed_in(post)
    app = await enroll(post, person)
    asked = await challenge(post, person, app.factor_id)
    answer = await post.call(
        "POST", f"/factors/{app.factor_id}/verify", person.bearer, challenge_id=asked, code=app.code(steps)
    )
    assert answer.status_code == status


async def test_challenges_expire_and_belong_to_an_address_and_a_factor(post: Post) -> None:
    person = await signed_in(post)
    app, other = await enroll(post, person), await enroll(post, person, "other")
    verify = f"/factors/{app.factor_id}/verify"
    asked = await challenge(post, person, app.factor_id)
    for change, code in (
        ("ip_address = '192.0.2.7'", "mfa_ip_address_mismatch"),
        ("created_at = created_at - interval '301 s'", "mfa_challenge_expired"),
    ):
        await post.execute(f"update auth.mfa_challenges set {change} where id = $1::uuid", asked)
        answer = await post.call("POST", verify, person.bearer, challenge_id=asked, code=app.code())
        assert refusal(answer) == (422, code)
    foreign = await challenge(post, person, other.factor_id)
    for id_ in (foreign, str(uuid4())):
        answer = await post.call("POST", verify, person.bearer, challenge_id=id_, code=app.code())
        assert refusal(answer) == (422, "mfa_factor_not_found")
    await post.execute("update auth.mfa_challenges set created_at = now() - interval '3 days'")
    await purge_flows(post.served.runtime)
    assert (
        await post.rows("select 1 from auth.mfa_challenges where factor_id = $1::uuid", app.factor_id) == []
    )


async def test_nothing_of_somebody_else(post: Post) -> None:
    owner, thief = await signed_in(post), await signed_in(post)
    app = await enroll(post, owner)
    asked = await challenge(post, owner, app.factor_id)
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/challenge", {}),
        ("POST", "/verify", {"challenge_id": asked, "code": app.code()}),
        ("DELETE", "", {}),
    ]
    for method, path, body in calls:
        for factor_id in (app.factor_id, str(uuid4())):
            answer = await post.call(method, f"/factors/{factor_id}{path}", thief.bearer, **body)
            assert refusal(answer) == (404, "mfa_factor_not_found")
        answer = await post.call(method, f"/factors/nonsense{path}", thief.bearer, **body)
        assert refusal(answer) == (404, "validation_failed")
        assert refusal(await post.call(method, f"/factors/{app.factor_id}{path}", **body)) == (
            401,
            "no_authorization",
        )


ENROLMENTS: list[tuple[str, dict[str, Any], int, str]] = [
    ("no type", {}, 400, "validation_failed"),
    ("another type", {"factor_type": "sms"}, 400, "validation_failed"),
    ("no text", {"factor_type": 7}, 400, "bad_json"),
    ("same name", {"factor_type": "totp", "friendly_name": " taken "}, 422, "mfa_factor_name_conflict"),
    ("long name", {"factor_type": "totp", "friendly_name": "x" * 121}, 400, "validation_failed"),
    ("no name that can be stored", {"factor_type": "totp", "friendly_name": "\0"}, 400, "validation_failed"),
    ("no issuer that can be stored", {"factor_type": "totp", "issuer": "\0"}, 400, "validation_failed"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), [row[1:] for row in ENROLMENTS], ids=[r[0] for r in ENROLMENTS]
)
async def test_enrolments_that_are_refused(post: Post, body: dict[str, Any], status: int, code: str) -> None:
    person = await signed_in(post)
    await enroll(post, person, "taken")
    assert refusal(await post.call("POST", "/factors", person.bearer, **body)) == (status, code)


async def test_ten_factors_and_no_more(post: Post) -> None:
    person = await signed_in(post)
    answers = await asyncio.gather(
        *(post.call("POST", "/factors", person.bearer, factor_type="totp") for _ in range(12))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [422] * 2
    assert "too_many_enrolled_mfa_factors" in {a.json().get("code") for a in answers}
    await post.execute(
        "update auth.mfa_factors set created_at = created_at - interval '301 s' where user_id = $1", person.id
    )
    await enroll(post, person, "after the others were forgotten")
    assert len(await post.rows("select 1 from auth.mfa_factors where user_id = $1", person.id)) == 1


async def test_an_anonymous_user_has_nothing_to_protect(post: Post) -> None:
    session = (await post.call("POST", "/signup")).json()
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    answer = await post.call("POST", "/factors", headers, factor_type="totp")
    assert refusal(answer) == (403, "no_authorization")


async def test_what_takes_a_second_factor_once_there_is_one(post: Post) -> None:
    person = await signed_in(post)
    app = await enroll(post, person)
    strong = await strengthened(post, person, app)
    weak = await post.sign_in(person.email)
    another = {"factor_type": "totp", "friendly_name": "another"}
    assert refusal(await post.call("POST", "/factors", weak.bearer, **another)) == (403, "insufficient_aal")
    unenroll = f"/factors/{app.factor_id}"
    assert refusal(await post.call("DELETE", unenroll, weak.bearer)) == (422, "insufficient_aal")
    update = await post.call("PUT", "/user", weak.bearer, email=new_email())
    assert refusal(update) == (401, "insufficient_aal")
    assert refusal(await post.call("POST", "/factors/recovery-codes", weak.bearer)) == (
        403,
        "insufficient_aal",
    )
    assert (await post.call("PUT", "/user", strong.bearer, password="another-password")).status_code == 200
    assert (await post.call("POST", "/factors", strong.bearer, **another)).status_code == 200


async def test_without_its_factor_a_session_is_weak_again(post: Post) -> None:
    person = await signed_in(post)
    app = await enroll(post, person)
    strong = await strengthened(post, person, app)
    second = await enroll(post, strong, "second")
    await strengthened(post, strong, second)
    strong = await strengthened(post, strong, app)  # the session rests on the first factor again
    answer = await post.call("DELETE", f"/factors/{app.factor_id}", strong.bearer)
    assert (answer.status_code, answer.json()) == (200, {"id": app.factor_id})
    refused = await post.call("PUT", "/user", strong.bearer, password="another-password")
    assert refusal(refused) == (401, "insufficient_aal")  # although the token still says aal2
    renewed = (await post.refresh(strong.refresh_token)).json()
    claims = await post.claims(renewed["access_token"])
    assert (claims["aal"], [entry["method"] for entry in claims["amr"]]) == ("aal1", ["password"])
    letter = await post.letter(person.email, number=4)
    assert letter["template"] == "mfa_factor_unenrolled_notification"
    assert (await post.events(person.id))[-2] == "auth.factor_deleted"


async def test_a_factor_that_was_never_used_goes_silently(post: Post) -> None:
    person = await signed_in(post)
    app = await enroll(post, person)
    assert (await post.call("DELETE", f"/factors/{app.factor_id}", person.bearer)).status_code == 200
    assert "factors" not in (await post.call("GET", "/user", person.bearer)).json()
    assert len(await post.letters(person.email)) == 1


async def test_administrators(post: Post) -> None:
    person = await signed_in(post)
    app, other = await enroll(post, person), await enroll(post, person, "other")
    await strengthened(post, person, app)
    other = await enroll(post, await strengthened(post, person, app), "other")
    factors = f"/admin/users/{person.id}/factors"
    shown = (await post.call("GET", factors, ADMIN)).json()
    assert [(factor["id"], factor["status"]) for factor in shown] == [
        (app.factor_id, "verified"),
        (other.factor_id, "unverified"),
    ]
    assert "secret" not in shown[0]
    renamed = await post.call(
        "PUT", f"{factors}/{app.factor_id}", ADMIN, friendly_name="work", phone="+491234567"
    )
    assert (renamed.json()["friendly_name"], renamed.json()["phone"]) == ("work", None)
    clash = await post.call("PUT", f"{factors}/{app.factor_id}", ADMIN, friendly_name="other")
    assert refusal(clash) == (422, "mfa_factor_name_conflict")
    in_list = (await post.call("GET", "/admin/users?per_page=1000", ADMIN)).json()["users"]
    assert len(next(u for u in in_list if u["id"] == str(person.id))["factors"]) == 2
    gone = await post.call("DELETE", f"{factors}/{app.factor_id}", ADMIN)
    assert (gone.status_code, gone.json()["id"]) == (200, app.factor_id)
    session = await post.rows("select aal from auth.sessions where user_id = $1", person.id)
    assert [row["aal"] for row in session] == ["aal1"]
    for method, path, refused in (
        ("GET", f"/admin/users/{uuid4()}/factors", (404, "user_not_found")),
        ("GET", "/admin/users/nobody/factors", (404, "validation_failed")),
        ("DELETE", f"{factors}/{app.factor_id}", (404, "mfa_factor_not_found")),
        ("PUT", f"{factors}/{app.factor_id}", (404, "mfa_factor_not_found")),
        ("DELETE", f"{factors}/nonsense", (404, "validation_failed")),
    ):
        body: dict[str, Any] = {"friendly_name": "x"} if method == "PUT" else {}
        assert refusal(await post.call(method, path, ADMIN, **body)) == refused
        assert refusal(await post.call(method, path, person.bearer, **body)) == (403, "not_admin")


async def test_the_audit_log_knows(post: Post) -> None:
    person = await signed_in(post)
    await strengthened(post, person, await enroll(post, person))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            rows = await post.rows(
                "select payload::jsonb ->> 'action' as action from auth.audit_log_entries"
                " where payload::jsonb ->> 'actor_id' = $1",
                str(person.id),
            )
            if {"factor_in_progress", "verification_attempted"} <= {row["action"] for row in rows}:
                return
            await asyncio.sleep(0.05)


async def test_a_secret_that_somebody_brought_along_in_sql(post: Post) -> None:
    """As GoTrue keeps it: what was enrolled elsewhere goes on being answered."""
    person = await signed_in(post)
    app = await enroll(post, person)
    plain = parse_qs(urlsplit(app.uri).query)["secret"][0]
    await post.execute("update auth.mfa_factors set secret = $1 where id = $2::uuid", plain, app.factor_id)
    wrong = await answer_with(post, person, app.factor_id, "000000")
    assert refusal(wrong) == (422, "mfa_verification_failed")
    right = await answer_with(post, person, app.factor_id, app.code())
    assert right.status_code == 200
