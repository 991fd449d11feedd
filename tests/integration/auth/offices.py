"""Organisations of the server under test, and their people who come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from tests.application import service_key
from tests.integration.auth.identity_provider import (
    IdentityProvider,
    Says,
    encode,
    read_request,
)
from tests.integration.auth.people import V2, People

if TYPE_CHECKING:
    import httpx


ADMIN: Final = {"Authorization": f"Bearer {service_key()}", **V2}
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
SITE: Final = "https://app.example.com"
SAML: Final = {
    "auth_saml_enabled": "true",
    "auth_site_url": SITE,
    "auth_uri_allow_list": "https://*.example.org/**",
    "auth_saml_rate_limit_assertion": "1000000",
    "auth_rate_limit_token_refresh": "1000000",
}


class Offices(People):
    """Organisations, and their people."""

    async def found(self, idp: IdentityProvider, **body: Any) -> dict[str, Any]:
        """Register the organisation of ``idp``."""
        given = {"type": "saml", "metadata_xml": idp.metadata, **body}
        answer = await self.client.post("/auth/v1/admin/sso/providers", json=given, headers=ADMIN)
        assert answer.status_code == 201, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def leave(self, provider: dict[str, Any], **body: Any) -> tuple[str, str]:
        """Go to the identity provider; return the request's id and the relay state."""
        given = {"provider_id": provider["id"], "skip_http_redirect": True, **body}
        answer = await self.client.post("/auth/v1/sso", json=given, headers=V2)
        assert answer.status_code == 200, answer.text
        request, relay_state = read_request(answer.json()["url"])
        return request.get("ID"), relay_state

    async def arrive(self, response: Any, relay_state: str = "") -> httpx.Response:
        form = {"SAMLResponse": encode(response), "RelayState": relay_state}
        return await self.client.post("/auth/v1/sso/saml/acs", data=form, headers=V2)

    async def come(self, idp: IdentityProvider, provider: dict[str, Any], **says: Any) -> httpx.Response:
        """Go and come back with what ``idp`` says."""
        request_id, relay_state = await self.leave(provider)
        return await self.arrive(idp.answer(Says(request_id=request_id, **says)), relay_state)


def fragment(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).fragment))


def refused(answer: httpx.Response) -> str:
    """Return why an answer was refused."""
    assert (answer.status_code, answer.json()["code"]) == (400, "saml_assertion_invalid"), answer.text
    return str(answer.json()["message"]).removeprefix("SAML Assertion is not valid: ")
