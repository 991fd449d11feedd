"""Go to a provider and back as a browser would."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx

from tests.integration.auth.people import V2
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.auth.people import People

BACK: Final = "https://shop.example.org/welcome"
VERIFIER: Final = "v" * 64
CHALLENGE: Final = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
PKCE: Final = {"code_challenge": CHALLENGE, "code_challenge_method": "s256"}


def new_subject() -> str:
    return uuid4().hex


async def leave(people: People, provider: str = "google", **query: str) -> str:
    """Begin a sign-in and return the address of the provider."""
    answer = await people.client.get(
        "/auth/v1/authorize", params={"provider": provider, "redirect_to": BACK, **query}, headers=V2
    )
    assert answer.status_code == 302, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.headers["location"])


async def visit(url: str) -> str:
    """Sign in at the provider; return where it sends the browser."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


async def come_back(people: People, url: str) -> httpx.Response:
    """Follow the provider's redirect to us."""
    parts = urlsplit(url)
    return await people.client.get(f"{parts.path}?{parts.query}")


async def travel(people: People, provider: str = "google", **query: str) -> httpx.Response:
    """Do it all; return where we send the browser in the end."""
    return await come_back(people, await visit(await leave(people, provider, **query)))


def landing(answer: httpx.Response) -> tuple[str, dict[str, str], dict[str, str]]:
    """Split where a browser ends: the address, its query and its fragment."""
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["location"])
    base = f"{parts.scheme}://{parts.netloc}{parts.path}"
    pairs = dict(parse_qsl(parts.query, keep_blank_values=True))
    return base, pairs, dict(parse_qsl(parts.fragment, keep_blank_values=True))


def refused(answer: httpx.Response) -> dict[str, str]:
    """Return the error that a browser carries, which query and fragment both have."""
    _, query, fragment = landing(answer)
    assert query == fragment
    assert set(fragment) == {"error", "error_code", "error_description", "sb"}
    return fragment


async def user_of(people: People, access_token: str) -> Mapping[str, Any]:
    headers = {"Authorization": f"Bearer {access_token}", **V2}
    answer = await people.client.get("/auth/v1/user", headers=headers)
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


async def sign_in(people: People, provider: str = "google", **query: str) -> Mapping[str, Any]:
    """Sign in and return the user."""
    _, _, fragment = landing(await travel(people, provider, **query))
    assert "access_token" in fragment, fragment
    return await user_of(people, fragment["access_token"])
