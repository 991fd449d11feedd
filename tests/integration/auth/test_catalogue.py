"""Every provider of the catalogue, with the profile that its documentation shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from modules.auth.providers.catalogue import CATALOGUE
from tests.application import running_app
from tests.integration.auth.idp import Idp, running_idp, settings_of
from tests.integration.auth.journeys import new_subject, refused, sign_in, travel
from tests.integration.auth.people import People
from tests.integration.auth.post import CONFIRMING, new_email

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Idp]:
    async with running_idp() as idp:
        yield idp


@pytest.fixture
def idp(provider: Idp) -> Idp:
    provider.be_honest()
    provider.documents = {}
    return provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(shared_connections: Connections, provider: Idp) -> AsyncIterator[People]:
    settings = {**CONFIRMING, **settings_of(provider, *CATALOGUE)}
    async with running_app(shared_connections, **settings) as served:
        yield People(served)


def documents(name: str, subject: str, email: str, *, verified: bool) -> dict[str, Any]:
    """What the provider ``name`` answers about somebody."""
    at = "2024-05-01T10:00:00Z" if verified else None
    number = int(subject[:12], 16)
    table: dict[str, dict[str, Any]] = {
        "bitbucket": {
            "/2.0/user": {"uuid": f"{{{subject}}}", "display_name": "Ada", "nickname": "ada"},
            "/2.0/user/emails": {
                "values": [
                    {"email": "old@example.com", "is_primary": False, "is_confirmed": True},
                    {"email": email, "is_primary": True, "is_confirmed": verified},
                ]
            },
        },
        "discord": {
            "/api/users/@me": {
                "id": subject,
                "username": "ada",
                "global_name": "Ada",
                "email": email,
                "verified": verified,
            }
        },
        "facebook": {
            "/me": {"id": subject, "name": "Ada", "email": email, "picture": {"data": {"url": "https://x/y"}}}
        },
        "figma": {"/v1/me": {"id": subject, "handle": "Ada", "email": email, "img_url": "https://x/y"}},
        "github": {
            "/api/v3/user": {"id": number, "login": "ada", "name": "Ada", "email": None},
            "/api/v3/user/emails": [
                {"email": "old@example.com", "primary": False, "verified": True},
                {"email": email, "primary": True, "verified": verified},
            ],
        },
        "gitlab": {
            "/api/v4/user": {
                "id": number,
                "username": "ada",
                "name": "Ada",
                "email": email,
                "confirmed_at": at,
            }
        },
        "linkedin_oidc": {
            "/v2/userinfo": {"sub": subject, "name": "Ada", "email": email, "email_verified": verified}
        },
        "notion": {
            "/v1/users/me": {
                "bot": {"owner": {"user": {"id": subject, "name": "Ada", "person": {"email": email}}}}
            }
        },
        "spotify": {"/v1/me": {"id": subject, "display_name": "Ada", "email": email, "images": []}},
        "twitch": {
            "/helix/users": {"data": [{"id": subject, "login": "ada", "display_name": "Ada", "email": email}]}
        },
        "zoom": {
            "/v2/users/me": {
                "id": subject,
                "display_name": "Ada",
                "email": email,
                "verified": int(verified),
            }
        },
    }
    return table.get(name, {})


ALWAYS_VERIFIED = ("facebook", "figma", "notion", "twitch")
NEVER_VERIFIED = ("spotify",)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in NEVER_VERIFIED])
async def test_somebody_comes_from(people: People, idp: Idp, name: str) -> None:
    subject, email = new_subject(), new_email()
    idp.documents = documents(name, subject, email, verified=True)
    idp.becomes(subject, email)
    user = await sign_in(people, name)
    assert (user["email"], user["user_metadata"]["name"]) == (email, "Ada")
    assert user["app_metadata"] == {"provider": name, "providers": [name]}
    assert user["identities"][0]["identity_data"]["iss"].startswith("http")
    again = await sign_in(people, name)
    assert again["id"] == user["id"]


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in ALWAYS_VERIFIED])
async def test_an_address_that_is_not_verified_by(people: People, idp: Idp, name: str) -> None:
    subject, email = new_subject(), new_email()
    idp.documents = documents(name, subject, email, verified=False)
    idp.becomes(subject, email, email_verified=False, xms_edov=False)
    assert refused(await travel(people, name))["error_code"] == "provider_email_needs_verification"


async def test_any_tenant_of_azure_writes_any_address(shared_connections: Connections, idp: Idp) -> None:
    """Only the owner of the domain is believed where everybody's tenants come in, each as its own issuer."""
    settings = settings_of(idp, "azure") | {"auth_external_azure_url": f"{idp.url}/common"}
    idp.issuer = "https://login.example.com/{tenantid}/v2.0"
    async with running_app(shared_connections, **CONFIRMING, **settings) as served:
        people = People(served)
        email, subject = new_email(), new_subject()
        tenant = {"tid": "5d2f", "iss": "https://login.example.com/5d2f/v2.0"}
        idp.becomes(subject, email, **tenant)
        assert refused(await travel(people, "azure"))["error_code"] == "provider_email_needs_verification"
        for stranger in ({"tid": "other"}, {"tid": None}, {"tid": "", "iss": idp.issuer}):
            idp.becomes(subject, email, xms_edov=True, **{**tenant, **stranger})
            assert refused(await travel(people, "azure"))["error_code"] == "validation_failed"
        idp.becomes(subject, email, xms_edov=True, **tenant)
        assert (await sign_in(people, "azure"))["email"] == email


async def test_only_those_with_a_client_are_on(shared_connections: Connections) -> None:
    settings = {"auth_external_google_enabled": "true", "auth_external_keycloak_enabled": "true"}
    settings |= {"auth_external_keycloak_client_id": "x"}
    async with running_app(shared_connections, **settings) as served:
        external = (await served.client.get("/auth/v1/settings")).json()["external"]
        assert (external["google"], external["keycloak"]) == (False, False)
