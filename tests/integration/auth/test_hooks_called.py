"""The hooks that decide who becomes a user, and that send in our place: at every way there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from modules.auth.hooks import callers
from tests.application import running_app, service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.people import People
from tests.integration.auth.post import CONFIRMING, Post, new_email, new_phone, running_post
from tests.integration.auth.test_hooks import endpoint, http
from tests.patience import eventually

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

ADMIN: Final = {"Authorization": f"Bearer {service_key()}"}

FUNCTIONS: Final = """
create table public.asked (event jsonb);
create function public.refuse_all(event jsonb) returns jsonb language sql as $$
  select '{"error": {"http_code": 403, "message": "not here"}}'::jsonb $$;
create function public.be_slow(event jsonb) returns jsonb language sql as $$
  select event from pg_sleep(600) $$;
create function public.raise_it(event jsonb) returns jsonb language plpgsql as $$
  begin raise 'the secret of the project'; end $$;
create function public.note(event jsonb) returns jsonb language sql as $$
  insert into public.asked values (event); select '{}'::jsonb $$;
"""

WAYS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "sign-up by mail": ("/signup", {"email": "EMAIL", "password": PASSWORD}),
    "sign-up by phone": ("/signup", {"phone": "PHONE", "password": PASSWORD}),
    "anonymous": ("/signup", {"data": {"a": 1}}),
    "otp by mail": ("/otp", {"email": "EMAIL"}),
    "otp by phone": ("/otp", {"phone": "PHONE"}),
    "magic link": ("/magiclink", {"email": "EMAIL"}),
    "invitation": ("/invite", {"email": "EMAIL"}),
    "administrator": ("/admin/users", {"email": "EMAIL"}),
    "link to sign up": ("/admin/generate_link", {"type": "signup", "email": "EMAIL", "password": PASSWORD}),
    "link of an invitation": ("/admin/generate_link", {"type": "invite", "email": "EMAIL"}),
}


def fresh(body: dict[str, Any]) -> dict[str, Any]:
    made = {"EMAIL": new_email(), "PHONE": new_phone()}
    return {name: made.get(value, value) if isinstance(value, str) else value for name, value in body.items()}


def before(function: str) -> dict[str, str]:
    return CONFIRMING | {"auth_hook_before_user_created_uri": f"pg-functions://postgres/public/{function}"}


async def prepare(connections: Connections) -> None:
    async with running_app(connections) as served:
        await People(served).execute(FUNCTIONS)


@pytest.mark.parametrize("autoconfirms", ["true", "false"])
async def test_no_way_to_become_a_user_passes_the_hook(connections: Connections, autoconfirms: str) -> None:
    await prepare(connections)
    confirming = {"auth_mailer_autoconfirm": autoconfirms, "auth_sms_autoconfirm": autoconfirms}
    async with running_app(connections, **(before("refuse_all") | confirming)) as served:
        post = Post(served)
        for way, (path, body) in WAYS.items():
            answer = await post.call("POST", path, ADMIN, **fresh(body))
            assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (
                403,
                "hook_rejected",
                "not here",
            ), way
        assert not await post.rows("select id from auth.users")
        assert not await post.rows("select id from monohull.outbox where name = 'UserSignedUp'")


async def test_the_hook_sees_each_user_before_there_is_one(connections: Connections) -> None:
    await prepare(connections)
    async with running_app(connections, **before("note")) as served:
        post = Post(served)
        for way, (path, body) in WAYS.items():
            wanted = fresh(body)
            answer = await post.call("POST", path, ADMIN, **wanted)
            assert answer.status_code == 200, (way, answer.text)
            asked = await post.rows("delete from public.asked returning event")
            assert len(asked) == 1, way
            event = json.loads(asked[0]["event"])
            assert event["metadata"]["name"] == "before-user-created"
            assert event["metadata"]["ip_address"] == "127.0.0.1"
            assert event["user"]["email"] == wanted.get("email", "")
            assert event["user"]["phone"] == wanted.get("phone", "")
            assert event["user"]["is_anonymous"] == (way == "anonymous")
            assert await post.rows("select 1 from auth.users where id::text = $1", event["user"]["id"])
        known = (await post.rows("select email from auth.users where email is not null limit 1"))[0]["email"]
        assert (await post.call("POST", "/otp", email=known)).status_code == 200  # nobody new
        assert not await post.rows("select event from public.asked")


@pytest.mark.parametrize(
    ("function", "status", "code"),
    [
        ("be_slow", 422, "hook_timeout"),
        ("raise_it", 503, "hook_failed"),
        ("no_such_function", 503, "hook_failed"),
    ],
)
async def test_a_hook_that_does_not_answer_makes_no_user(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, function: str, status: int, code: str
) -> None:
    if function == "be_slow":
        monkeypatch.setattr(callers.DatabaseCaller, "seconds", 0.5)
    await prepare(connections)
    async with running_app(connections, **before(function)) as served:
        post = Post(served)
        answer = await post.call("POST", "/signup", email=new_email(), password=PASSWORD)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert "secret" not in answer.text
        assert not await post.rows("select id from auth.users")


async def test_an_endpoint_and_a_python_function_decide_too(connections: Connections) -> None:
    refusal = {"error": {"http_code": 422, "message": "only from inside"}}
    async with endpoint(200, answer=refusal) as (url, requests):
        async with running_app(connections, **http(url, "before_user_created")) as served:
            answer = await Post(served).call("POST", "/signup", email=new_email(), password=PASSWORD)
            assert (answer.status_code, answer.json()["message"]) == (422, "only from inside")
        assert json.loads(requests[0][2])["user"]["app_metadata"]["provider"] == "email"
    python = {"auth_hook_before_user_created_uri": "python://tests.integration.auth.hook_functions/only_ada"}
    async with running_app(connections, **python) as served:
        post = Post(served)
        refused = await post.call("POST", "/signup", email=new_email(), password=PASSWORD)
        assert (refused.status_code, refused.json()["code"]) == (403, "hook_rejected")
        ada = await post.call("POST", "/signup", email=f"ada.{uuid4().hex}@example.com", password=PASSWORD)
        assert ada.status_code == 200


async def arrived(requests: list[Any], number: int) -> list[dict[str, Any]]:
    await eventually(lambda: len(requests), lambda found: found >= number)
    return [json.loads(body) for _, _, body in requests]


async def test_a_hook_sends_the_mails_and_nothing_else_does(connections: Connections) -> None:
    async with endpoint(200) as (url, requests):
        settings = CONFIRMING | http(url, "send_email") | {"auth_mailer_notifications_enabled": "false"}
        async with running_post(connections, **settings) as post:
            email, new = new_email(), new_email()
            answer = await post.call("POST", "/signup", email=email, password=PASSWORD, data={"name": "Ada"})
            assert answer.status_code == 200, answer.text
            (confirm,) = await arrived(requests, 1)
            assert (confirm["user"]["email"], confirm["user"]["user_metadata"]) == (email, {"name": "Ada"})
            assert confirm["email_data"]["email_action_type"] == "signup"
            session = await post.call(
                "POST", "/verify", type="signup", token_hash=confirm["email_data"]["token_hash"]
            )
            assert session.status_code == 200, session.text
            bearer = {"Authorization": f"Bearer {session.json()['access_token']}"}
            assert (await post.call("PUT", "/user", bearer, email=new)).status_code == 200
            change = (await arrived(requests, 2))[1]
            data = change["email_data"]
            assert (change["user"]["new_email"], data["email_action_type"]) == (new, "email_change")
            half = await post.call("POST", "/verify", type="email_change", email=email, token=data["token"])
            assert half.status_code == 200, half.text
            whole = await post.call(
                "POST", "/verify", type="email_change", email=new, token=data["token_new"]
            )
            assert whole.json()["user"]["email"] == new
            assert not await post.letters(email)
            assert not await post.letters(new)


async def test_the_hashes_of_a_change_are_crossed_as_in_gotrue(connections: Connections) -> None:
    async with endpoint(200) as (url, requests):
        settings = CONFIRMING | http(url, "send_email") | {"auth_mailer_autoconfirm": "true"}
        async with running_post(connections, **settings) as post:
            person, new = await post.sign_up(), new_email()
            assert (await post.call("PUT", "/user", person.bearer, email=new)).status_code == 200
            data = (await arrived(requests, 1))[0]["email_data"]
            hashes = (data["token_hash_new"], data["token_hash"])
            half, whole = [
                await post.call("POST", "/verify", type="email_change", token_hash=token_hash)
                for token_hash in hashes
            ]
            assert half.status_code == 200, half.text
            assert whole.json()["user"]["email"] == new


async def test_a_function_in_the_database_sends_the_text_messages(connections: Connections) -> None:
    await prepare(connections)
    hook = {
        "auth_hook_send_sms_uri": "pg-functions://postgres/public/note",
        "auth_sms_provider": "twilio",  # without credentials: the hook is enough
    }
    async with running_post(connections, **(CONFIRMING | hook)) as post:
        phone = new_phone()
        assert (await post.call("POST", "/otp", phone=phone)).status_code == 200
        found = await eventually(lambda: post.rows("select event from public.asked"))
        event = json.loads(found[0]["event"])
        assert (event["user"]["phone"], event["sms"]["phone"]) == (phone, phone)
        answer = await post.call("POST", "/verify", type="sms", phone=phone, token=event["sms"]["otp"])
        assert answer.status_code == 200, answer.text


async def test_what_a_hook_does_not_send_is_sent_by_nobody(connections: Connections) -> None:
    """A refusal is final; a failure is tried again, and never by another way."""
    async with (
        endpoint(500, 200, answer={"error": {"message": "not to them"}}) as (url, requests),
        running_post(connections, **(CONFIRMING | http(url, "send_email"))) as post,
    ):
        email = new_email()
        assert (await post.call("POST", "/signup", email=email, password=PASSWORD)).status_code == 200
        await arrived(requests, 2)
        dead = await eventually(lambda: post.rows("select error from monohull.dead_letters"))
        assert "not to them" in dead[0]["error"]
        assert not await post.letters(email)
