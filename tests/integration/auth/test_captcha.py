"""Captchas, checked by a provider that the tests serve themselves on loopback."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import pytest

from monohull.kernel.settings import SettingsError
from tests.application import anon_key, running_app, service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.people import People
from tests.integration.auth.post import CONFIRMING, Post, new_email
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

SECRET: Final = "0x-what-the-provider-gave-out"
RIGHT: Final = {"gotrue_meta_security": {"captcha_token": "right"}}

PROTECTED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "signup": ("/signup", {"email": "a@example.com", "password": PASSWORD}),
    "anonymous": ("/signup", {}),
    "password": ("/token?grant_type=password", {"email": "a@example.com", "password": PASSWORD}),
    "no grant": ("/token", {}),
    "otp": ("/otp", {"email": "b@example.com"}),
    "magiclink": ("/magiclink", {"email": "c@example.com"}),
    "recover": ("/recover", {"email": "d@example.com"}),
    "resend": ("/resend", {"type": "signup", "email": "e@example.com"}),
    "sso": ("/sso", {"domain": "example.com"}),
    "passkey": ("/passkeys/authentication/options", {}),
}
FREE: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "refresh_token": ("/token?grant_type=refresh_token", {"refresh_token": "nobody's"}),
    "pkce": ("/token?grant_type=pkce", {"auth_code": "x", "code_verifier": "y"}),
    "verify": ("/verify", {"type": "signup", "token_hash": "x"}),
}


class Provider:
    """Holds ``right`` for right, once; ``answers`` come before its own."""

    def __init__(self, *answers: bytes) -> None:
        self.url = ""
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length")
        )
        fields = {
            name: values[0] for name, values in parse_qs((await reader.readexactly(length)).decode()).items()
        }
        self.asked.append(fields)
        writer.write(self.answers.pop(0) if self.answers else self.verdict(fields))
        await writer.drain()
        writer.close()

    def verdict(self, fields: dict[str, str]) -> bytes:
        if fields["secret"] != SECRET:
            return reply({"success": False, "error-codes": ["invalid-input-secret"]})
        if fields["response"].startswith("right"):
            return reply({"success": True, "hostname": "app.example.com"})
        return reply({"success": False, "error-codes": ["invalid-input-response"]})


def reply(body: Any, status: int = 200) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


@asynccontextmanager
async def provider(*answers: bytes) -> AsyncIterator[Provider]:
    made = Provider(*answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    async with server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/siteverify"
        yield made


def settings(url: str, **more: str) -> dict[str, str]:
    return CONFIRMING | {
        "auth_security_captcha_enabled": "true",
        "auth_security_captcha_provider": "turnstile",
        "auth_security_captcha_secret": SECRET,
        "auth_security_captcha_url": url,
        "auth_saml_enabled": "true",
        "outbound_allowed": "127.0.0.1",
        **more,
    }


async def test_what_is_protected_asks_for_an_answer_that_holds(connections: Connections) -> None:
    async with provider() as asked, running_app(connections, **settings(asked.url)) as served:
        post = Post(served)
        for name, (path, body) in PROTECTED.items():
            for security, words in (
                ({}, "no captcha_token found"),
                ({"gotrue_meta_security": None}, "no captcha_token found"),
                ({"gotrue_meta_security": {"captcha_token": " "}}, "no captcha_token found"),
                ({"gotrue_meta_security": {"captcha_token": "wrong"}}, "invalid-input-response"),
                ({"gotrue_meta_security": {"captcha_token": "x" * 20_000}}, "invalid-input-response"),
            ):
                answer = await post.call("POST", path, **body, **security)
                shown = (answer.status_code, answer.json()["code"], answer.json()["message"])
                assert shown == (
                    400,
                    "captcha_failed",
                    f"captcha protection: request disallowed ({words})",
                ), name
        assert not await post.rows("select id from auth.users")
        assert len(asked.asked) == len(PROTECTED)  # nobody is asked about no answer, or about an endless one


async def test_a_right_answer_passes_and_the_provider_is_told_who_gave_it(connections: Connections) -> None:
    async with provider() as asked, running_app(connections, **settings(asked.url)) as served:
        post = Post(served)
        for name, (path, body) in PROTECTED.items():
            answer = await post.call("POST", path, **body, **RIGHT)
            assert answer.json().get("code") != "captcha_failed", name
            assert asked.asked.pop() == {"secret": SECRET, "response": "right", "remoteip": "127.0.0.1"}
        for name, (path, body) in FREE.items():
            answer = await post.call("POST", path, **body)
            assert answer.json()["code"] != "captcha_failed", name
        assert not asked.asked


async def test_administrators_are_not_asked_and_other_keys_are(connections: Connections) -> None:
    async with provider() as asked, running_app(connections, **settings(asked.url)) as served:
        post = Post(served)
        for bearer, status in ((service_key(), 200), (anon_key(), 400), ("no token", 400)):
            answer = await post.call("POST", "/otp", {"Authorization": f"Bearer {bearer}"}, email=new_email())
            assert answer.status_code == status, answer.text
        assert not asked.asked


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(b"<html>"), id="no JSON"),
        pytest.param(reply(b"", 502), id="a bad gateway"),
        pytest.param(reply([True]), id="no object"),
        pytest.param(reply({"success": False, "error-codes": ["internal-error"]}, 500), id="its own fault"),
        pytest.param(reply({"success": False, "error-codes": ["invalid-input-secret"]}), id="not our secret"),
        pytest.param(reply(b"[" * 60_000), id="nested for ever"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_provider_that_does_not_say_lets_nobody_in(connections: Connections, answer: bytes) -> None:
    async with provider(answer) as asked, running_app(connections, **settings(asked.url)) as served:
        refused = await Post(served).call("POST", "/signup", email=new_email(), password=PASSWORD, **RIGHT)
        assert (refused.status_code, refused.json()["code"]) == (503, "captcha_unavailable")
        assert SECRET not in refused.text
        again = await Post(served).call("POST", "/signup", email=new_email(), password=PASSWORD, **RIGHT)
        assert again.status_code == 200


@pytest.mark.parametrize("success", [1, "true", None, {}], ids=str)
async def test_only_true_is_success(connections: Connections, success: Any) -> None:
    async with (
        provider(reply({"success": success})) as asked,
        running_app(connections, **settings(asked.url)) as served,
    ):
        refused = await Post(served).call("POST", "/otp", email=new_email(), **RIGHT)
        assert (refused.status_code, refused.json()["code"]) == (400, "captcha_failed")


async def test_a_provider_that_is_away_or_silent_refuses_in_time(connections: Connections) -> None:
    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(be_silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        silent = settings(url, auth_security_captcha_timeout="1s")
        async with asyncio.timeout(PATIENCE_SECONDS), running_app(connections, **silent) as served:
            refused = await Post(served).call("POST", "/otp", email=new_email(), **RIGHT)
            assert (refused.status_code, refused.json()["code"]) == (503, "captcha_unavailable")
    async with running_app(connections, **settings(url)) as served:  # nobody listens there any more
        refused = await Post(served).call("POST", "/otp", email=new_email(), **RIGHT)
        assert (refused.status_code, refused.json()["code"]) == (503, "captcha_unavailable")


async def test_a_captcha_without_a_secret_stops_the_start(connections: Connections) -> None:
    with pytest.raises(SettingsError, match="MONOHULL_AUTH_SECURITY_CAPTCHA_SECRET"):
        async with running_app(connections, auth_security_captcha_enabled="true"):
            pass


async def test_without_the_setting_nobody_is_asked(connections: Connections) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up(gotrue_meta_security={"captcha_token": "any"})
        assert person.tokens["access_token"]
