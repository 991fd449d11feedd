"""Whatever browsers and applications send to where providers are: a refusal, never a 500."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_from_bytes

import msgspec
import pytest

from tests.application import running_app, service_key
from tests.integration.auth.idp import Idp, running_idp, settings_of
from tests.integration.auth.people import V2, People
from tests.integration.auth.post import CONFIRMING

if TYPE_CHECKING:
    import httpx

    from monohull.kernel.home import Connections

TEXTS: Final = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"google",
    b"custom:" + b"x" * 500,
    b"custom:\x00",
    b"00000000-0000-4000-8000-000000000000",
    b"https://app.example.com\r\nX: y",
    b"%00",
    b"x" * 3000,
    "ä\u2028😀".encode(),
    b"a.b.c",
    b"eyJhbGciOiJub25lIn0.e30.",
    b"eyJhbGciOlsiUlMyNTYiXX0.e30.x",
    b"eyJhbGciOiJSUzI1NiIsImtpZCI6e319.e30.x",
    b"[" * 2000,
    b"-1",
)
NAMES: Final = (
    "provider",
    "redirect_to",
    "scopes",
    "code_challenge",
    "code_challenge_method",
    "invite_token",
    "state",
    "code",
    "error",
    "error_description",
    "iss",
    "user",
    "other",
)
FIELDS: Final = ("provider", "id_token", "access_token", "nonce", "client_id", "issuer", "link_identity")
VALUES: Final[tuple[Any, ...]] = (None, True, 7, [], {}, *(text.decode("latin-1") for text in TEXTS))
REQUESTS: Final = 400


async def attack(people: People, dice: Random, idp: Idp) -> httpx.Response:
    """Send one request that nobody would."""
    query = "&".join(
        f"{name}={quote_from_bytes(dice.choice(TEXTS))}" for name in dice.sample(NAMES, dice.randrange(6))
    )
    headers = {**V2, "Authorization": f"Bearer {service_key()}"} if dice.random() < 0.3 else V2
    target = dice.choice(("authorize", "callback", "form", "token", "custom", "identities"))
    if target == "token":
        body = {name: dice.choice((*VALUES, idp.id_token(sub="x"))) for name in dice.sample(FIELDS, 4)}
        url = "/auth/v1/token?grant_type=id_token"
        return await people.client.post(url, content=msgspec.json.encode(body), headers=headers)
    if target == "form":
        form = {**headers, "content-type": "application/x-www-form-urlencoded"}
        return await people.client.post("/auth/v1/callback", content=query.encode(), headers=form)
    if target == "custom":
        names = ("provider_type", "identifier", "name", "client_id", "client_secret", "issuer", "scopes")
        body = {name: dice.choice((*VALUES, "oidc", "custom:x", idp.url)) for name in names}
        service = {**V2, "Authorization": f"Bearer {service_key()}"}
        url = "/auth/v1/admin/custom-providers"
        return await people.client.post(url, content=msgspec.json.encode(body), headers=service)
    if target == "identities":
        person = quote_from_bytes(dice.choice(TEXTS[:10]) or b"x", safe="")
        return await people.client.delete(f"/auth/v1/user/identities/{person}", headers=headers)
    return await people.client.get(f"/auth/v1/{target}?{query}", headers=headers)


@pytest.mark.parametrize("first", range(3))
async def test_hostile_requests(connections: Connections, first: int) -> None:
    async with running_idp() as idp:
        settings = {**CONFIRMING, **settings_of(idp, "google", "github")}
        settings["auth_security_manual_linking_enabled"] = "true"
        async with running_app(connections, **settings) as served:
            people = People(served)
            complaints = []
            for number in range(REQUESTS):
                answer = await attack(people, Random(first * REQUESTS + number), idp)
                if answer.status_code >= 500:
                    complaints.append((number, answer.request.url, answer.text[:200]))
            assert complaints == []
