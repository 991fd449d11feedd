"""Mails through a real mail server, text messages through a provider, and what happens when they fail."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.application import anon_key, service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.post import CONFIRMING, IN_PRODUCTION, Post, new_email, new_phone, running_post
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from monohull.kernel.home import Connections

pytestmark = [
    pytest.mark.asyncio,
    # the server speaks without TLS where the test wants it to
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning"),
]

LOGIN = ("postmaster", "a-password")


class Inbox:
    """What the mail server received; ``refusals`` are what it says first."""

    def __init__(self, *refusals: str) -> None:
        self.mails: list[tuple[list[str], Any]] = []
        self.refusals = list(refusals)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 aiosmtpd's
        del server, session, options
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 aiosmtpd's
        del server, session
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 OK"

    async def one(self) -> Any:
        await eventually(lambda: self.mails)
        return self.mails[0]


@asynccontextmanager
async def mail_server(inbox: Inbox, port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    def check(server: Any, session: Any, envelope: Any, mechanism: str, login: LoginPassword) -> AuthResult:
        del server, session, envelope, mechanism
        return AuthResult(success=(login.login.decode(), login.password.decode()) == LOGIN)

    controller = Controller(
        inbox,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=context is not None,
        authenticator=check,
        auth_required=True,
        auth_require_tls=False,
        ready_timeout=PATIENCE_SECONDS,
    )
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def smtp(port: int, **settings: str) -> dict[str, str]:
    own = {
        "auth_smtp_host": "127.0.0.1",
        "auth_smtp_port": str(port),
        "auth_smtp_tls": "none",
        "auth_smtp_user": LOGIN[0],
        "auth_smtp_pass": LOGIN[1],
        "auth_smtp_admin_email": "no-reply@example.com",
        "auth_smtp_sender_name": 'Hull "&" Söhne',
    }
    return {**CONFIRMING, **own, **settings}


async def test_a_mail_goes_out_as_text_and_html(
    connections: Connections, unused_tcp_port: int, tmp_path: Path
) -> None:
    (tmp_path / "confirmation.txt").write_text(
        "Subject: Willkommen, {{ .Data.name }}\n\n{{ .ConfirmationURL }}\n"
    )
    inbox = Inbox()
    settings = smtp(unused_tcp_port, auth_mailer_templates=str(tmp_path))
    async with mail_server(inbox, unused_tcp_port), running_post(connections, **settings) as post:
        email = new_email()
        answer = await post.call(
            "POST", "/signup", email=email, password=PASSWORD, data={"name": "Zoë\r\nBcc: x@y.io"}
        )
        assert answer.status_code == 200
        recipients, mail = await inbox.one()
        assert recipients == [email]
        assert mail["From"] == '"Hull \\"&\\" Söhne" <no-reply@example.com>'
        assert mail["To"] == email
        assert mail["Subject"] == "Willkommen, Zoë Bcc: x@y.io"
        assert mail["Bcc"] is None
        assert mail["Auto-Submitted"] == "auto-generated"
        text = mail.get_body(("plain",)).get_content()
        assert "/auth/v1/verify?token=" in text
        assert "Confirm your sign-up" in mail.get_body(("html",)).get_content()
        assert await post.letters(email) == []


async def test_a_server_that_is_away_is_asked_again(connections: Connections, unused_tcp_port: int) -> None:
    inbox = Inbox("451 try again later")
    async with running_post(connections, **smtp(unused_tcp_port)) as post:
        email = new_email()
        await post.call("POST", "/signup", email=email, password=PASSWORD)
        await _until(post, "select 1 from monohull.jobs where attempts > 0 and error like '%Connect%'")
        async with mail_server(inbox, unused_tcp_port):
            await _hurry(post)
            await _until(post, "select 1 from monohull.jobs where error like '%451%'")
            await _hurry(post)
            recipients, _ = await inbox.one()
        assert recipients == [email]


async def _hurry(post: Post) -> None:
    """Make the next attempt due."""
    await post.execute("update monohull.jobs set due_at = now() where done_at is null")
    await post.execute("notify monohull_outbox")


async def _until(post: Post, query: str) -> list[Any]:
    return list(await eventually(lambda: post.rows(query), said=lambda: query))


async def test_a_refused_recipient_is_a_dead_letter_without_secrets(
    connections: Connections, unused_tcp_port: int
) -> None:
    inbox = Inbox("550 no such user")
    async with (
        mail_server(inbox, unused_tcp_port),
        running_post(connections, **smtp(unused_tcp_port)) as post,
    ):
        email = new_email()
        await post.call("POST", "/signup", email=email, password=PASSWORD)
        (letter,) = await _until(post, "select * from monohull.dead_letters")
        assert (letter["name"], letter["attempts"]) == ("auth.send_mail", 1)
        assert "550" in letter["error"]
        assert email in letter["arguments"]
        assert "verify" not in letter["arguments"]


async def test_without_starttls_nothing_is_sent(connections: Connections, unused_tcp_port: int) -> None:
    inbox = Inbox()
    settings = smtp(unused_tcp_port, auth_smtp_tls="auto")
    async with mail_server(inbox, unused_tcp_port), running_post(connections, **settings) as post:
        await post.call("POST", "/signup", email=new_email(), password=PASSWORD)
        (job,) = await _until(
            post, "select * from monohull.jobs where name = 'auth.send_mail' and error is not null"
        )
        assert "STARTTLS" in job["error"]
        assert inbox.mails == []


class Provider:
    """A provider of text messages: answers with ``statuses`` in turn, then with 201."""

    def __init__(self, *statuses: int) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, list[str]]]] = []
        self.statuses = list(statuses)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in rest)}
        body = await reader.readexactly(int(headers["content-length"]))
        status = self.statuses.pop(0) if self.statuses else 201
        self.requests.append((line.split()[1], headers, parse_qs(body.decode())))
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def provider(port: int, *statuses: int) -> AsyncIterator[Provider]:
    served = Provider(*statuses)
    server = await asyncio.start_server(served.answer, "127.0.0.1", port)
    async with server:
        yield served


def twilio(port: int) -> dict[str, str]:
    own = {
        "auth_sms_provider": "twilio",
        "auth_sms_twilio_account_sid": "AC1",
        "auth_sms_twilio_auth_token": "secret",
        "auth_sms_twilio_message_service_sid": "MG1",
        "auth_sms_twilio_url": f"http://127.0.0.1:{port}",
        "auth_sms_template": "Code: {{ .Code }}",
        "outbound_allowed": "127.0.0.1",
    }
    return {**CONFIRMING, **own}


async def test_a_text_message_goes_to_the_provider(connections: Connections, unused_tcp_port: int) -> None:
    async with (
        provider(unused_tcp_port) as served,
        running_post(connections, **twilio(unused_tcp_port)) as post,
    ):
        phone = new_phone()
        await post.call("POST", "/otp", phone=phone)
        await _until(
            post, "select 1 from monohull.jobs where outcome = 'succeeded' and name = 'auth.send_sms'"
        )
        ((path, headers, fields),) = served.requests
        assert path == "/2010-04-01/Accounts/AC1/Messages.json"
        assert headers["authorization"] == "Basic QUMxOnNlY3JldA=="
        assert fields["To"] == [f"+{phone}"]
        assert fields["MessagingServiceSid"] == ["MG1"]
        code = fields["Body"][0].removeprefix("Code: ")
        answer = await post.call("POST", "/verify", type="sms", phone=phone, token=code)
        assert answer.status_code == 200


async def test_a_number_that_the_provider_refuses_is_a_dead_letter(
    connections: Connections, unused_tcp_port: int
) -> None:
    async with provider(unused_tcp_port, 400), running_post(connections, **twilio(unused_tcp_port)) as post:
        await post.call("POST", "/otp", phone=new_phone())
        (letter,) = await _until(post, "select * from monohull.dead_letters")
        assert (letter["name"], letter["error"].count("status 400")) == ("auth.send_sms", 1)


async def test_a_provider_that_fails_is_asked_again(connections: Connections, unused_tcp_port: int) -> None:
    async with (
        provider(unused_tcp_port, 503, 429),
        running_post(connections, **twilio(unused_tcp_port)) as post,
    ):
        await post.call("POST", "/otp", phone=new_phone())
        await _until(post, "select 1 from monohull.jobs where attempts > 0 and error ~ 'status (503|429)'")
        assert await post.rows("select 1 from monohull.dead_letters") == []


@pytest.mark.parametrize(
    "settings",
    [
        {"auth_sms_provider": ""},
        {"auth_sms_provider": "twilio"},
        {"auth_sms_provider": "mailbox", **IN_PRODUCTION},
    ],
)
async def test_without_a_provider_it_is_said_at_once(
    connections: Connections, settings: dict[str, str]
) -> None:
    async with running_post(connections, **{**CONFIRMING, **settings}) as post:
        bodies: list[tuple[str, dict[str, Any]]] = [("/otp", {}), ("/signup", {"password": PASSWORD})]
        for path, body in bodies:
            answer = await post.call("POST", path, phone=new_phone(), **body)
            assert (answer.status_code, answer.json()["code"]) == (422, "sms_send_failed")


async def test_mails_to_one_address_take_their_time(connections: Connections) -> None:
    settings = {**CONFIRMING, "auth_smtp_max_frequency": "1m", "auth_sms_max_frequency": "30s"}
    async with running_post(connections, **settings) as post:
        known, unknown, phone = new_email(), new_email(), new_phone()
        await post.call("POST", "/signup", email=known, password=PASSWORD)
        for email in (known, unknown):
            assert (await post.call("POST", "/recover", email=email)).status_code == 200
            answer = await post.call("POST", "/recover", email=email)
            assert (answer.status_code, answer.json()["code"]) == (429, "over_email_send_rate_limit")
            assert answer.json()["message"] == (
                "For security purposes, you can only request this after"
                f" {answer.headers['retry-after']} seconds."
            )
            assert 50 < int(answer.headers["retry-after"]) <= 60
        assert (await post.call("POST", "/otp", phone=phone)).status_code == 200
        answer = await post.call("POST", "/otp", phone=phone)
        assert (answer.status_code, answer.json()["code"]) == (429, "over_sms_send_rate_limit")


async def test_one_client_and_one_address_get_so_many_an_hour(connections: Connections) -> None:
    async with running_post(connections, **{**CONFIRMING, "auth_rate_limit_email_sent": "2"}) as post:
        for _ in range(2):
            assert (await post.call("POST", "/recover", email=new_email())).status_code == 200
        answer = await post.call("POST", "/recover", email=new_email())
        assert (answer.status_code, answer.json()["code"]) == (429, "over_email_send_rate_limit")


async def test_the_mailbox_is_for_this_machine_and_for_keys(connections: Connections) -> None:
    async with running_post(connections, **CONFIRMING) as post:
        email = f"{uuid4().hex}@example.com"
        await post.call("POST", "/signup", email=email, password=PASSWORD)
        await post.letter(email)
        away = {"X-Forwarded-For": "203.0.113.7"}
        for headers, status in (
            ({}, 200),
            (away, 401),
            ({"Origin": "https://evil.io"}, 401),
            ({"Host": "evil.io"}, 401),
            ({**away, "apikey": anon_key()}, 403),
            ({**away, "apikey": service_key()}, 200),
        ):
            answer = await post.client.get("/platform/v1/mailbox", headers=headers)
            assert answer.status_code == status, (headers, answer.text)
        assert (await post.client.delete("/platform/v1/mailbox")).status_code == 204
        assert await post.letters(email) == []
    async with running_post(connections, **{**CONFIRMING, **IN_PRODUCTION}) as post:
        answer = await post.client.get("/platform/v1/mailbox", headers={"apikey": service_key()})
        assert answer.status_code == 404
