"""Each hook as each kind: what it is told, what its answer does, and what its refusal does."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from msgspec import Struct

from tests.application import running_app, service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth import hook_recorder
from tests.integration.auth.authenticator_app import App, answer_with, enroll
from tests.integration.auth.hook_recorder import POINTS, Calls, Refuse
from tests.integration.auth.people import People, Person
from tests.integration.auth.post import CONFIRMING, Post, new_email, new_phone, running_post
from tests.integration.auth.test_hooks import SECRET
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import httpx

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = {"Authorization": f"Bearer {service_key()}"}
KINDS = ("pg-functions", "http", "python")


class Hooked(Struct, frozen=True):
    """A server with hooks of one kind at every point."""

    post: Post
    calls: Calls
    refuse: Refuse

    async def told(self, point: str, number: int = 1) -> Mapping[str, Any]:
        """Wait for the ``number``-th call of a point."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := await self.calls(point)) < number:  # noqa: ASYNC110 a hook tells nobody
                await asyncio.sleep(0.02)
        assert len(found) == number, found
        return found[-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def hooked(request: pytest.FixtureRequest, shared_connections: Connections) -> AsyncIterator[Hooked]:
    """One server for each kind."""
    hook_recorder.forget()
    async with AsyncExitStack() as stack:
        calls: Calls = hook_recorder.calls_here
        refuse: Refuse = hook_recorder.refuse_here
        if request.param == "pg-functions":
            base = "pg-functions://postgres/public"
            async with running_app(shared_connections) as served:
                await People(served).execute(hook_recorder.functions())
        elif request.param == "http":
            base = await stack.enter_async_context(hook_recorder.serving())
        else:
            base = f"python://{hook_recorder.__name__}"
        settings = {f"auth_hook_{point}_uri": f"{base}/{point}" for point in POINTS}
        if request.param == "http":
            settings |= {f"auth_hook_{point}_secrets": SECRET for point in POINTS}
        given = {**CONFIRMING, **settings, "outbound_allowed": "127.0.0.1"}
        post = await stack.enter_async_context(running_post(shared_connections, **given))
        if request.param == "pg-functions":
            calls, refuse = hook_recorder.in_database(post)
        yield Hooked(post, calls, refuse)


async def try_factor(post: Post, person: Person, *codes: int) -> tuple[App, Sequence[httpx.Response]]:
    """Enroll an app and answer by what it shows so many steps from now."""
    app = await enroll(post, person)
    return app, [await answer_with(post, person, app.factor_id, app.code(steps)) for steps in codes]


async def test_what_each_point_is_told_and_does(hooked: Hooked) -> None:
    post, email, phone = hooked.post, new_email(), new_phone()
    signed_up = await post.call("POST", "/signup", email=email, password=PASSWORD, data={"name": "Ada"})
    assert signed_up.status_code == 200, signed_up.text
    user_id = signed_up.json()["id"]
    new = await hooked.told("before_user_created")
    assert (new["user"]["email"], new["metadata"]["name"]) == (email, "before-user-created")
    mail = await hooked.told("send_email")
    assert (mail["user"]["id"], mail["email_data"]["email_action_type"]) == (user_id, "signup")
    body = {"type": "signup", "token_hash": mail["email_data"]["token_hash"]}
    verified = await post.call("POST", "/verify", **body)
    assert verified.status_code == 200, verified.text
    token = await hooked.told("custom_access_token")
    assert (token["user_id"], token["claims"]["sub"], token["authentication_method"]) == (
        user_id,
        user_id,
        "otp",
    )
    assert (await post.claims(verified.json()["access_token"]))["hooked"] is True
    for number, (password, status) in enumerate(((PASSWORD, 200), ("wrong", 400)), start=1):
        answer = await post.grant("password", email=email, password=password)
        attempt = await hooked.told("password_verification_attempt", number)
        assert (answer.status_code, attempt) == (status, {"user_id": user_id, "valid": status == 200})
    app, answers = await try_factor(post, Person(email, verified.json()), 100, 0)
    assert [answer.status_code for answer in answers] == [422, 200]
    right = await hooked.told("mfa_verification_attempt", 2)
    assert (await hooked.calls("mfa_verification_attempt"))[0] == {**right, "valid": False}
    assert right == {"user_id": user_id, "factor_id": app.factor_id, "factor_type": "totp", "valid": True}
    assert (await post.call("POST", "/otp", phone=phone)).status_code == 200
    text = await hooked.told("send_sms")
    assert (text["user"]["phone"], text["sms"]["phone"]) == (phone, phone)
    body = {"type": "sms", "phone": phone, "token": text["sms"]["otp"]}
    assert (await post.call("POST", "/verify", **body)).status_code == 200
    assert not await post.letters(email)
    assert not await post.letters(phone)


async def given_up(post: Post) -> str:
    """Wait until a message is given up, and return why."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await post.rows("delete from monohull.dead_letters returning error")):  # noqa: ASYNC110 the table tells nobody
            await asyncio.sleep(0.02)
    return str(found[0]["error"])


async def test_what_a_refusal_of_each_point_does(hooked: Hooked) -> None:
    post, email = hooked.post, new_email()
    await hooked.refuse("nothing")
    await post.call("POST", "/admin/users", ADMIN, email=email, password=PASSWORD, email_confirm=True)
    person = await post.sign_in(email)
    no = (403, "hook_rejected", "not today")

    await hooked.refuse("before_user_created")
    answer = await post.call("POST", "/signup", email=new_email(), password=PASSWORD)
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == no
    for point in ("password_verification_attempt", "custom_access_token"):
        await hooked.refuse(point)
        answer = await post.grant("password", email=email, password=PASSWORD)
        assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == no, point

    await hooked.refuse("send_email")
    assert (await post.call("POST", "/recover", email=email)).status_code == 200
    assert "not today" in await given_up(post)
    await hooked.refuse("send_sms")
    assert (await post.call("POST", "/otp", phone=new_phone())).status_code == 200
    assert "not today" in await given_up(post)

    await hooked.refuse("mfa_verification_attempt")
    _, (answer,) = await try_factor(post, person, 0)
    assert (answer.status_code, answer.json()["code"]) == (403, "mfa_verification_rejected")
    gone = await post.call("GET", "/user", person.bearer)
    assert (gone.status_code, gone.json()["code"]) == (403, "session_not_found")
