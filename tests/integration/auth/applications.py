"""Applications that sign their users in at the server under test."""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from msgspec import Struct

from monohull.kernel import ids
from tests.application import service_key
from tests.integration.auth.people import V2, People

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from tests.integration.auth.people import Person

ADMIN: Final = {"Authorization": f"Bearer {service_key()}", **V2}
CALLBACK: Final = "https://shop.example.net/callback?from=monohull"
ISSUER: Final = "http://127.0.0.1:8000/auth/v1"
SITE: Final = "https://app.example.com/start/"
OAUTH: Final = {
    "auth_oauth_server_enabled": "true",
    "auth_oauth_server_allow_dynamic_registration": "true",
    "auth_site_url": SITE,
    "auth_security_refresh_token_reuse_interval": "60",
    "auth_rate_limit_token_refresh": "1000000",
    "auth_rate_limit_otp": "1000000",
    "auth_rate_limit_oauth_dynamic_client_register": "1000000",
}


def challenge(verifier: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class App(Struct, frozen=True):
    """A registered application."""

    view: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.view["client_id"])

    @property
    def secret(self) -> str:
        return str(self.view["client_secret"])

    @property
    def basic(self) -> dict[str, str]:
        pair = f"{quote(self.id)}:{quote(self.secret)}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


class Applications(People):
    """People, and applications that want something of them."""

    async def register(self, **body: Any) -> App:
        given = {"client_name": "Shop", "redirect_uris": [CALLBACK], **body}
        answer = await self.client.post("/auth/v1/admin/oauth/clients", json=given, headers=ADMIN)
        assert answer.status_code == 201, answer.text
        return App(answer.json())

    async def authorize(self, app: App, verifier: str, **more: str | None) -> httpx.Response:
        """Send a browser to the server; a value of None leaves a parameter out."""
        query = {
            "response_type": "code",
            "client_id": app.id,
            "redirect_uri": CALLBACK,
            "scope": "openid email",
            "state": "a state & more",
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
            **more,
        }
        text = urlencode({name: value for name, value in query.items() if value is not None})
        return await self.client.get(f"/auth/v1/oauth/authorize?{text}", headers=V2)

    async def ask(self, app: App, verifier: str, **more: str | None) -> str:
        """Begin a request and return its id."""
        answer = await self.authorize(app, verifier, **more)
        target, query = split(answer.headers["location"])
        assert (answer.status_code, target) == (302, "https://app.example.com/start/oauth/consent"), query
        return query["authorization_id"]

    async def see(self, person: Person, authorization_id: str) -> httpx.Response:
        return await self.client.get(
            f"/auth/v1/oauth/authorizations/{authorization_id}", headers=person.bearer
        )

    async def consent(self, person: Person, authorization_id: str, action: str) -> httpx.Response:
        return await self.client.post(
            f"/auth/v1/oauth/authorizations/{authorization_id}/consent",
            json={"action": action},
            headers=person.bearer,
        )

    async def code(self, app: App, person: Person, verifier: str, **more: str | None) -> str:
        """Return a code that ``person`` gave ``app``."""
        answer = await self.consent(person, await self.ask(app, verifier, **more), "approve")
        assert answer.status_code == 200, answer.text
        return split(answer.json()["redirect_url"])[1]["code"]

    async def token(self, headers: Mapping[str, str] | None = None, **form: str) -> httpx.Response:
        return await self.client.post("/auth/v1/oauth/token", data=form, headers=headers)

    async def exchange(self, app: App, code: str, verifier: str, **form: str) -> httpx.Response:
        given = {"code": code, "code_verifier": verifier, "redirect_uri": CALLBACK, **form}
        return await self.token(app.basic, grant_type="authorization_code", **given)

    async def signed_in_at(self, app: App, person: Person, **more: str | None) -> Mapping[str, Any]:
        """Return the tokens of a whole flow."""
        verifier = ids.token()
        answer = await self.exchange(app, await self.code(app, person, verifier, **more), verifier)
        assert answer.status_code == 200, answer.text
        found: Mapping[str, Any] = answer.json()
        return found


def split(url: str) -> tuple[str, dict[str, str]]:
    """Return an address without its query, and the query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}", dict(parse_qsl(parts.query))
