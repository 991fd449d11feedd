"""Hooks in PostgreSQL, over HTTP and in Python: what they may change, and what happens when they fail."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from modules.auth.hooks import HookRejected, Hooks, callers
from modules.auth.hooks.callers import PythonCaller, read_secrets, sign
from modules.auth.origin import Origin
from monohull.kernel.settings import SettingsError
from tests.application import running_app
from tests.factories.auth import PASSWORD
from tests.integration.auth.people import V2, People

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from monohull.kernel.home import Connections

MODULE = "python://tests.integration.auth.hook_functions"
SECRET = "v1,whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()

ADD_ROLES = """
create table public.user_roles (user_id uuid, role text);
create function public.on_user() returns trigger language plpgsql security definer as $$
begin insert into public.user_roles values (new.id, 'editor'); return new; end $$;
create trigger on_user after insert on auth.users for each row execute function public.on_user();
create function public.add_roles(event jsonb) returns jsonb language sql as $$
  select jsonb_set(event, '{claims,user_role}', to_jsonb(r.role))
  from public.user_roles r where r.user_id = (event ->> 'user_id')::uuid $$;
create function public.be_slow(event jsonb) returns jsonb language sql as $$
  select event from pg_sleep(600) $$;
create function public.refuse(event jsonb) returns jsonb language sql as $$
  select '{"error": {"http_code": 418, "message": "not today"}}'::jsonb $$;
"""


async def test_a_function_in_the_database_changes_claims_and_sees_the_new_user(
    connections: Connections,
) -> None:
    hook = {"auth_hook_custom_access_token_uri": "pg-functions://postgres/public/add_roles"}
    async with running_app(connections, **hook) as served:
        people = People(served)
        await people.execute(ADD_ROLES)
        person = await people.sign_up()
        assert (await people.claims(person.tokens["access_token"]))["user_role"] == "editor"
        await people.execute("update public.user_roles set role = 'owner'")
        renewed = (await people.refresh(person.refresh_token)).json()
        assert (await people.claims(renewed["access_token"]))["user_role"] == "owner"


@pytest.mark.parametrize(
    ("function", "status", "code"),
    [
        ("be_slow", 422, "hook_timeout"),
        ("refuse", 418, "hook_rejected"),
        ("no_such_function", 503, "hook_failed"),
    ],
)
async def test_a_function_that_does_not_answer_gives_no_token(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, function: str, status: int, code: str
) -> None:
    if function == "be_slow":
        monkeypatch.setattr(callers.DatabaseCaller, "seconds", 0.5)
    hook = {"auth_hook_custom_access_token_uri": f"pg-functions://postgres/public/{function}"}
    async with running_app(connections) as served:
        await People(served).execute(ADD_ROLES)
        person = await People(served).sign_up()
    async with running_app(connections, **hook) as served:
        people = People(served)
        for answer in (
            await people.grant("password", email=person.email, password=PASSWORD),
            await people.refresh(person.refresh_token),
        ):
            assert (answer.status_code, answer.json()["code"]) == (status, code)
    async with running_app(connections) as served:  # the answer was lost, the session was not
        assert (await People(served).refresh(person.refresh_token)).status_code == 200


@pytest.mark.parametrize(("function", "by"), [("claims", "password"), ("fail", None), ("steal", None)])
async def test_a_python_function(connections: Connections, function: str, by: str | None) -> None:
    hook = {"auth_hook_custom_access_token_uri": f"{MODULE}/{function}"}
    async with running_app(connections, **hook) as served:
        people = People(served)
        answer = await served.client.post(
            "/auth/v1/signup", json={"email": "a@example.com", "password": PASSWORD}, headers=V2
        )
        if by is None:
            assert (answer.status_code, answer.json()["code"]) == (503, "hook_failed")
            assert "secret" not in answer.text
        else:
            assert (await people.claims(answer.json()["access_token"]))["by"] == by


async def test_a_password_may_be_refused(connections: Connections) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up()
    hook = {"auth_hook_password_verification_attempt_uri": f"{MODULE}/refuse_everybody"}
    async with running_app(connections, **hook) as served:
        for password, valid in ((PASSWORD, True), ("wrong", False)):
            answer = await People(served).grant("password", email=person.email, password=password)
            assert (answer.status_code, answer.json()["code"]) == (403, "hook_rejected")
            assert answer.json()["message"] == f"valid was {valid}"
        unknown = await People(served).grant("password", email="nobody@example.com", password="x")
        assert unknown.json()["code"] == "invalid_credentials"


@asynccontextmanager
async def endpoint(
    *statuses: int, answer: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[str, list[Any]]]:
    """Serve a hook on loopback; each request gets the next status, and is kept."""
    requests: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        raw = head.splitlines()
        signature = next(
            line.split(": ", 1)[1] for line in raw if line.lower().startswith("webhook-signature")
        )
        body = await reader.readexactly(int(headers["content-length"]))
        requests.append((headers, signature, body))
        status = statuses[min(len(requests), len(statuses)) - 1]
        payload = json.dumps(answer if answer is not None else {}).encode()
        writer.write(
            b"HTTP/1.1 %d x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(payload))
        )
        writer.write(payload)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", requests


def http(url: str, point: str) -> dict[str, str]:
    return {
        f"auth_hook_{point}_uri": url,
        f"auth_hook_{point}_secrets": SECRET,
        "outbound_allowed": "127.0.0.1",
    }


async def test_an_endpoint_gets_a_signed_request_and_may_ask_to_be_called_again(
    connections: Connections,
) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up()
    async with endpoint(503, 429, 200, answer={"decision": "continue"}) as (url, requests):
        hook = http(url, "password_verification_attempt")
        async with running_app(connections, **hook) as served:
            await People(served).sign_in(person.email)
    assert len(requests) == 3
    headers, signature, body = requests[0]
    assert json.loads(body) == {"user_id": str(person.id), "valid": True}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.digest(b"a secret of thirty-two bytes....", signed, hashlib.sha256)
    assert signature == "v1," + base64.b64encode(expected).decode()


@pytest.mark.parametrize(("status", "answer"), [(500, {}), (200, {"decision": "perhaps"}), (200, [])])
async def test_an_endpoint_that_gives_no_answer_lets_nobody_in(
    connections: Connections, status: int, answer: Any
) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up()
    point = "password_verification_attempt"
    async with (
        endpoint(status, answer=answer) as (url, _),
        running_app(connections, **http(url, point)) as served,
    ):
        refused = await People(served).grant("password", email=person.email, password=PASSWORD)
        assert (refused.status_code, refused.json()["code"]) == (503, "hook_failed")


@pytest.mark.parametrize(
    ("uri", "secrets"),
    [
        ("pg-functions://postgres/public/a;drop", None),
        ('pg-functions://postgres/"x"/y', None),
        ("python://no.such.module/function", None),
        ("python://tests.integration.auth.hook_functions/no_such", None),
        ("https://hooks.example.com/", None),
        ("https://hooks.example.com/", "whsec_without_version"),
    ],
)
async def test_hooks_that_cannot_work_stop_the_start(
    connections: Connections, uri: str, secrets: str | None
) -> None:
    options = {"auth_hook_send_sms_uri": uri} | ({"auth_hook_send_sms_secrets": secrets} if secrets else {})
    with pytest.raises(SettingsError, match="MONOHULL_AUTH_HOOK_SEND_SMS_URI"):
        async with running_app(connections, **options):
            pass


async def test_the_other_points_and_none_at_all() -> None:
    seen: list[Mapping[str, Any]] = []

    def keep(payload: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(payload)
        return {"error": {"http_code": 422, "message": "no"}} if "metadata" in payload else {}

    hooks = Hooks(dict.fromkeys(("before_user_created", "send_email", "send_sms"), PythonCaller(keep)))
    with pytest.raises(HookRejected, match="no") as refused:
        await hooks.before_user_created({"email": "a@example.com"}, Origin("192.0.2.1", None))
    assert refused.value.status == 422
    assert await hooks.send_email({"id": "u"}, {"token": "123456"}) is True
    assert await hooks.send_sms({"id": "u"}, {"otp": "123456"}) is True
    assert seen[0]["metadata"]["ip_address"] == "192.0.2.1"
    nobody = Hooks()
    await nobody.before_user_created({}, Origin(None, None))
    await nobody.mfa_verification_attempt("u", "f", "totp", valid=False)
    assert await nobody.send_email({}, {}) is False
    assert await nobody.send_sms({}, {}) is False
    assert await nobody.custom_access_token({"sub": "u"}, "password") == {"sub": "u"}


def test_every_secret_signs() -> None:
    secrets = read_secrets(f"{SECRET}|{SECRET}")
    assert len(sign(b"{}", secrets)["webhook-signature"].split(" ")) == 2
