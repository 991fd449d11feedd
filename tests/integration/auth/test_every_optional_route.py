"""The routes that settings switch on, by everybody who might call them: see `test_every_route`.

``weak`` has what ``user`` has, each of its own, so that only the missing second factor can be the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.application import running_app
from tests.integration.auth.applications import OAUTH, App, Applications
from tests.integration.auth.conftest import RELAXED
from tests.integration.auth.identity_provider import IdentityProvider
from tests.integration.auth.offices import ADMIN, SAML
from tests.integration.auth.test_every_route import (  # noqa: F401  fixtures are found by name
    LINKING,
    NOTHING,
    OFF,
    Cell,
    Row,
    administrators,
    arrive,
    bearers,
    call,
    careful,
    ended,
    public,
    users,
)
from tests.integration.auth.test_every_route import OAUTH as NO_OAUTH
from tests.integration.auth.test_every_route import SAML as NO_SAML
from tests.integration.auth.test_every_route import (
    TABLE as ALWAYS,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections
    from tests.integration.auth.people import Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

ON: Final = {
    **SAML,
    **OAUTH,
    **RELAXED,
    "auth_passkey_enabled": "true",
    "auth_webauthn_rp_id": "example.com",
    "auth_webauthn_rp_origins": "https://app.example.com",
    "auth_security_manual_linking_enabled": "true",
    "auth_external_google_enabled": "true",
    "auth_external_google_client_id": "any",
    "auth_external_google_secret": "any",
    "auth_rate_limit_external": "1000000",
    "auth_mfa_rate_limit_challenge_and_verify": "1000000",
    "outbound_allowed": "127.0.0.1",
}

WEAK: Final = (403, "insufficient_aal")
WEAK_TO_UNLINK: Final = (401, "insufficient_aal")
NO_AUTHORIZATION: Final = (404, "oauth_authorization_not_found")
NO_CLIENT: Final = (404, "oauth_client_not_found")
NO_PASSKEY: Final = (404, "webauthn_credential_not_found")
NO_CHALLENGE: Final = (400, "webauthn_challenge_not_found")
INVALID: Final = (400, "validation_failed")
NO_APPLICATION: Final = (401, "invalid_client")
CLIENT: Final = {"client_name": "Shop", "redirect_uris": ["https://shop.example.net/callback"]}
ANSWER: Final = {"challenge_id": NOTHING, "credential": {}}

TABLE: Final = (
    public("GET", "/oauth/authorize", INVALID),
    public("POST", "/oauth/token", NO_APPLICATION),
    public("POST", "/oauth/revoke", NO_APPLICATION),
    public("POST", "/oauth/introspect", NO_APPLICATION, service=(400, "invalid_request")),
    public("POST", "/oauth/clients/register", 201, body=CLIENT),
    public("GET", "/.well-known/openid-configuration", 200),
    public("GET", "/.well-known/oauth-authorization-server", 200),
    users("GET", "/oauth/authorizations/{authorization_id}", 200, other=NO_AUTHORIZATION),
    users(
        "POST",
        "/oauth/authorizations/{authorization_id}/consent",
        200,
        body={"action": "approve"},
        other=NO_AUTHORIZATION,
    ),
    users("GET", "/oauth/userinfo", 200),
    users("POST", "/oauth/userinfo", 200),
    users("GET", "/user/oauth/grants", 200),
    users("DELETE", "/user/oauth/grants", INVALID),
    administrators("GET", "/admin/oauth/clients", 200),
    administrators("POST", "/admin/oauth/clients", 201, body=CLIENT),
    administrators("GET", "/admin/oauth/clients/{client_id}", 200),
    administrators("PUT", "/admin/oauth/clients/{client_id}", 200, body={"client_name": "a"}),
    administrators("POST", "/admin/oauth/clients/{client_id}/regenerate_secret", 200),
    administrators("DELETE", "/admin/oauth/clients/{client_id}", 204),
    public("POST", "/sso", INVALID, body={}),
    public("GET", "/sso/saml/metadata", 200),
    public("POST", "/sso/saml/acs", INVALID),
    administrators("GET", "/admin/sso/providers", 200),
    administrators("POST", "/admin/sso/providers", INVALID, body={}),
    administrators("GET", "/admin/sso/providers/{provider_id}", 200),
    administrators("PUT", "/admin/sso/providers/{provider_id}", 200, body={"domains": []}),
    administrators("DELETE", "/admin/sso/providers/{provider_id}", 200),
    users(
        "GET",
        "/user/identities/authorize",
        200,
        "?provider=google&skip_http_redirect=true",
        weak=WEAK_TO_UNLINK,
    ),
    users(
        "DELETE",
        "/user/identities/{identity_id}",
        (422, "single_identity_not_deletable"),
        weak=WEAK_TO_UNLINK,
    ),
    users("GET", "/passkeys", 200),
    users("POST", "/passkeys/registration/options", 200, body={}, weak=WEAK),
    users("POST", "/passkeys/registration/verify", NO_CHALLENGE, body=ANSWER, weak=WEAK),
    users("PATCH", "/passkeys/{passkey_id}", 200, body={"friendly_name": "a"}, other=NO_PASSKEY),
    users("DELETE", "/passkeys/{passkey_id}", 204, other=NO_PASSKEY, weak=WEAK),
    public("POST", "/passkeys/authentication/options", 200, body={}),
    public("POST", "/passkeys/authentication/verify", NO_CHALLENGE, body=ANSWER),
    administrators("GET", "/admin/users/{user_id}/passkeys", 200),
    administrators("DELETE", "/admin/users/{user_id}/passkeys/{passkey_id}", 204),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(shared_connections: Connections) -> AsyncIterator[Applications]:
    """The application with everything on."""
    async with running_app(shared_connections, **ON) as served:
        yield Applications(served)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(people: Applications) -> App:
    """An application that people sign in to."""
    return await people.register()


async def possessions(people: Applications, app: App, person: Person) -> dict[str, str]:
    """Give somebody a passkey, and a request of the application that waits for them alone."""
    asked = await people.authorize(app, "v" * 43, scope="email")
    (authorization_id,) = parse_qs(urlsplit(asked.headers["location"]).query)["authorization_id"]
    await people.see(person, authorization_id)
    passkey = await people.rows(
        "insert into auth.webauthn_credentials (user_id, credential_id, public_key)"
        " values ($1, $2, '') returning id",
        person.id,
        uuid4().bytes,
    )
    return {
        "authorization_id": authorization_id,
        "passkey_id": str(passkey[0]["id"]),
        "identity_id": person.tokens["user"]["identities"][0]["identity_id"],
    }


async def organisation(people: Applications) -> str:
    """Make an organisation, in the place of the one before."""
    await people.execute("delete from auth.sso_providers")
    made = await people.client.post(
        "/auth/v1/admin/sso/providers",
        json={"type": "saml", "metadata_xml": IdentityProvider(f"https://{uuid4().hex}.example").metadata},
        headers=ADMIN,
    )
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
async def test_what_everybody_gets(
    people: Applications,
    app: App,
    ended: str,  # noqa: F811  the fixture
    careful: tuple[str, str],  # noqa: F811  the fixture
    row: Row,
) -> None:
    user, other, weak = await arrive(people), await arrive(people), await arrive(people, careful[0])
    claims = await people.claims(user.tokens["access_token"])
    mine, theirs = await possessions(people, app, user), await possessions(people, app, weak)
    client_id = (await people.register()).id if "{client_id}" in row.route else NOTHING
    provider_id = await organisation(people) if "{provider_id}" in row.route else NOTHING
    places = {"user_id": str(user.id), "client_id": client_id, "provider_id": provider_id, **mine}
    found: dict[str, Cell] = {}
    for caller, bearer in bearers(user, other, weak, ended, claims).items():
        answer = await call(people, row, bearer, places | (theirs if caller == "weak" else {}), caller)
        body: Any = answer.json() if answer.status_code >= 400 else {}
        code = body.get("code") or body.get("error")
        found[caller] = answer.status_code if code is None else (answer.status_code, code)
    assert found == dict(row.cells)


async def test_no_optional_route_is_missing() -> None:
    off = (OFF, LINKING, NO_OAUTH, NO_SAML)
    switched = {(row.method, row.route) for row in ALWAYS if any(cell in off for cell in row.cells.values())}
    assert switched == {(row.method, row.route) for row in TABLE}
