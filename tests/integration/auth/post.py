"""The application with a worker beside it, and the letters that arrive."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from monohull.kernel.configuration import load
from monohull.worker import SideWorker, WorkerProcess
from tests.application import JWT_SECRET, running_app
from tests.factories.auth import PASSWORD
from tests.integration.auth.people import V2, People, Person
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

    from monohull.kernel.home import Connections

SITE: Final = "https://app.example.com"
CONFIRMING: Final = {
    "auth_mailer_autoconfirm": "false",
    "auth_site_url": SITE,
    "auth_uri_allow_list": "https://*.example.org/**",
    "auth_smtp_max_frequency": "0",
    "auth_sms_max_frequency": "0",
    "auth_security_refresh_token_reuse_interval": "60",
    "auth_rate_limit_token_refresh": "1000000",
    "auth_rate_limit_otp": "1000000",
    "auth_rate_limit_email_sent": "1000000",
    "auth_rate_limit_sms_sent": "1000000",
    "auth_rate_limit_verify": "1000000",
    "auth_external_phone_enabled": "true",
    "auth_external_anonymous_users_enabled": "true",
    "auth_sms_provider": "mailbox",
    "auth_mfa_rate_limit_challenge_and_verify": "1000000",
    "auth_mfa_phone_enroll_enabled": "true",
    "auth_mfa_phone_verify_enabled": "true",
    "auth_mfa_phone_max_frequency": "0",
    "auth_mfa_web_authn_enroll_enabled": "true",
    "auth_mfa_web_authn_verify_enabled": "true",
    "auth_passkey_enabled": "true",
    "auth_webauthn_rp_id": "example.com",
    "auth_mfa_phone_template": "Second factor: {{ .Code }}",
    "auth_sms_test_otp": "15550001111=424242",
}
IN_PRODUCTION: Final = {
    "env": "production",
    "auth_rate_limit_verify": "3000",
    "auth_mfa_rate_limit_challenge_and_verify": "300",
    "auth_sms_test_otp": "",
}
"""Over `CONFIRMING`: production takes neither limits that do not limit nor codes that never change."""
"""Addresses have to be confirmed, and nothing but the tests' own limits is reached."""


def new_email() -> str:
    return f"{uuid4().hex}@example.com"


def new_phone() -> str:
    return f"49{uuid4().int % 10**10:010d}"


class Post(People):
    """People, and what was sent to them."""

    async def call(
        self, method: str, path: str, /, headers: Mapping[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        """Call a route of ``/auth/v1`` with a JSON body."""
        content: dict[str, Any] = {"json": body} if body or method in ("POST", "PUT") else {}
        return await self.client.request(
            method, f"/auth/v1{path}", headers={**V2, **(headers or {})}, **content
        )

    async def letters(self, to: str) -> list[dict[str, Any]]:
        """Return what lies in the mailbox for ``to``, newest first."""
        answer = await self.client.get("/platform/v1/mailbox", params={"to": to})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found

    async def letter(self, to: str, *, number: int = 1) -> dict[str, Any]:
        """Wait for the ``number``-th message to ``to`` and return it."""
        found = await eventually(lambda: self.letters(to), lambda found: len(found) >= number)
        assert len(found) == number, [message["template"] for message in found]
        return found[0]

    async def follow(self, link: str) -> httpx.Response:
        """Open a link of a mail, as a browser that does not go on."""
        parts = urlsplit(link)
        return await self.client.get(f"{parts.path}?{parts.query}")


def arrival(answer: httpx.Response) -> tuple[str, dict[str, str], dict[str, str]]:
    """Split where a link led: the address, its query and its fragment."""
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["location"])
    base = f"{parts.scheme}://{parts.netloc}{parts.path}"
    pairs = dict(parse_qsl(parts.query, keep_blank_values=True))
    return base, pairs, dict(parse_qsl(parts.fragment, keep_blank_values=True))


async def signed_in(post: Post) -> Person:
    """Sign somebody up, confirm and sign in: one mail has gone out."""
    email = new_email()
    assert (await post.call("POST", "/signup", email=email, password=PASSWORD)).status_code == 200
    await post.follow((await post.letter(email))["link"])
    return await post.sign_in(email)


@asynccontextmanager
async def running_post(connections: Connections, **settings: str) -> AsyncIterator[Post]:
    """Serve with ``settings``, and with a worker of the same ones."""
    environ = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}
    environ["MONOHULL_POOL_TIMEOUT_SECONDS"] = "60"  # on a busy machine some wait long for their turn
    environ |= {f"MONOHULL_{name.upper()}": value for name, value in settings.items()}
    process = WorkerProcess(load(environ, project=Path("/")), connections)
    worker = SideWorker(**process.settings())  # SAQ's, without its signals
    running = asyncio.create_task(worker.start())
    try:
        async with running_app(connections, **settings) as served:
            yield Post(served)
    finally:
        worker.event.set()
        await running
