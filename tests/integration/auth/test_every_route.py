"""Every route of ``/auth/v1`` by everybody who might call it: what they get, status and code.

A new route is a row here: `public`, `users` or `administrators` says what nobody
in particular, somebody signed in, and a service key get; what a route does
otherwise is named by the caller. A route without a row fails the last test.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import uuid4

import pytest
import pytest_asyncio
from msgspec import Struct

from modules.auth.tokens import TokenCodec
from tests.application import JWT_SECRET, anon_key, service_key
from tests.architecture.test_routes import handlers
from tests.factories.auth import PASSWORD
from tests.integration.auth.authenticator_app import App
from tests.integration.auth.people import V2, Person
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from tests.application import Served
    from tests.integration.auth.people import People

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLERS: Final = ("nobody", "anon", "expired", "ended", "other", "weak", "user", "service")
PREFIX: Final = "/auth/v1"
LAST: Final = 5_000_000_000

Cell: TypeAlias = "int | tuple[int, str]"
"""A status, and the code of a refusal."""


class Row(Struct, frozen=True):
    """A route and what each caller gets. ``{id}`` and ``{session_id}`` are those of ``user``."""

    method: str
    route: str
    cells: Mapping[str, Cell]
    query: str = ""
    body: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}{self.query}"


def public(method: str, route: str, cell: Cell, query: str = "", body: Any = None, **cells: Cell) -> Row:
    """Return a row for a route at which it does not matter who calls, not even by what token."""
    return Row(method, route, {**dict.fromkeys(CALLERS, cell), **cells}, query, body)


def users(method: str, route: str, cell: Cell, query: str = "", body: Any = None, **cells: Cell) -> Row:
    """Return a row for a route of somebody who is signed in.

    ``other`` is another one; ``weak`` has a second factor and has not used it in this session: aal1.
    """
    given: dict[str, Cell] = {
        "nobody": (401, "no_authorization"),
        "anon": (403, "bad_jwt"),
        "expired": (403, "bad_jwt"),
        "ended": (403, "session_not_found"),
        "other": cell,
        "weak": cell,
        "user": cell,
        "service": (403, "bad_jwt"),
    }
    return Row(method, route, {**given, **cells}, query, body)


def administrators(
    method: str, route: str, cell: Cell, query: str = "", body: Any = None, **cells: Cell
) -> Row:
    """Return a row for a route of service keys."""
    given: dict[str, Cell] = {
        "nobody": (401, "no_authorization"),
        "anon": (403, "not_admin"),
        "expired": (403, "bad_jwt"),
        "ended": (403, "session_not_found"),
        "other": (403, "not_admin"),
        "weak": (403, "not_admin"),
        "user": (403, "not_admin"),
        "service": cell,
    }
    return Row(method, route, {**given, **cells}, query, body)


NEW: Final = {"email": "NEW", "password": PASSWORD}
NOTHING: Final = "00000000-0000-4000-8000-000000000000"
NO_FACTOR: Final = (404, "mfa_factor_not_found")
SOLE: Final = (422, "mfa_recovery_codes_sole_factor")
ELSEWHERE: Final = (404, "session_not_found")
TOO_WEAK: Final = (403, "insufficient_aal")
NO_CHALLENGE: Final = (422, "mfa_factor_not_found")
WRONG_CODE: Final = (422, "mfa_verification_failed")
OFF: Final = (404, "passkey_disabled")
"""Unless the settings say otherwise; `test_passkeys` walks these routes when they are on."""

LINKING: Final = (404, "manual_linking_disabled")
OAUTH: Final = (404, "feature_disabled")
SAML: Final = (404, "saml_provider_disabled")
"""Off as well; `test_oauth_refusals`, `test_saml_lies` and `test_sso_providers` walk these."""

TABLE: Final = (
    public("GET", "/oauth/authorize", OAUTH),
    public("POST", "/oauth/token", OAUTH),
    public("POST", "/oauth/revoke", OAUTH),
    public("POST", "/oauth/introspect", OAUTH),
    public("POST", "/oauth/clients/register", OAUTH, body={}),
    public("GET", "/.well-known/openid-configuration", OAUTH),
    public("GET", "/.well-known/oauth-authorization-server", OAUTH),
    users("GET", "/oauth/authorizations/{authorization_id}", OAUTH),
    users("POST", "/oauth/authorizations/{authorization_id}/consent", OAUTH, body={}),
    users("GET", "/oauth/userinfo", OAUTH),
    users("POST", "/oauth/userinfo", OAUTH),
    users("GET", "/user/oauth/grants", OAUTH),
    users("DELETE", "/user/oauth/grants", OAUTH),
    administrators("GET", "/admin/oauth/clients", OAUTH),
    administrators("POST", "/admin/oauth/clients", OAUTH, body={}),
    administrators("GET", "/admin/oauth/clients/{client_id}", OAUTH),
    administrators("PUT", "/admin/oauth/clients/{client_id}", OAUTH, body={}),
    administrators("DELETE", "/admin/oauth/clients/{client_id}", OAUTH),
    administrators("POST", "/admin/oauth/clients/{client_id}/regenerate_secret", OAUTH),
    public("POST", "/sso", SAML, body={}),
    public("GET", "/sso/saml/metadata", SAML),
    public("POST", "/sso/saml/acs", SAML),
    administrators("GET", "/admin/sso/providers", SAML),
    administrators("POST", "/admin/sso/providers", SAML, body={}),
    administrators("GET", "/admin/sso/providers/{provider_id}", SAML),
    administrators("PUT", "/admin/sso/providers/{provider_id}", SAML, body={}),
    administrators("DELETE", "/admin/sso/providers/{provider_id}", SAML),
    public("GET", "/authorize", (400, "validation_failed"), "?provider=google"),
    public("GET", "/callback", 302),
    public("POST", "/callback", 303),
    users("GET", "/user/identities/authorize", LINKING, "?provider=google"),
    users("DELETE", "/user/identities/{identity_id}", LINKING),
    administrators("GET", "/admin/custom-providers", 200),
    administrators("POST", "/admin/custom-providers", (400, "validation_failed"), body={}),
    administrators("GET", "/admin/custom-providers/{identifier}", (404, "custom_provider_not_found")),
    administrators(
        "PUT", "/admin/custom-providers/{identifier}", (404, "custom_provider_not_found"), body={"name": "a"}
    ),
    administrators("DELETE", "/admin/custom-providers/{identifier}", (404, "custom_provider_not_found")),
    public("GET", "/health", 200),
    public("GET", "/settings", 200),
    public("GET", "/.well-known/jwks.json", 200),
    public("POST", "/signup", 200, body=NEW),
    public("POST", "/token", (400, "invalid_credentials"), "?grant_type=password", NEW),
    public("POST", "/otp", 200, body={"email": "NEW"}),
    public("POST", "/magiclink", 200, body={"email": "NEW"}),
    public("POST", "/recover", 200, body={"email": "NEW"}),
    public("POST", "/resend", 200, body={"type": "signup", "email": "NEW"}),
    public("GET", "/verify", 303, "?token=nobody's&type=signup"),
    public("POST", "/verify", (403, "otp_expired"), body={"type": "signup", "token_hash": "nobody's"}),
    users("GET", "/user", 200),
    users("PUT", "/user", 200, body={"data": {"a": 1}}),
    users("PUT", "/user", 200, body={"email": "NEW"}, weak=(401, "insufficient_aal")),
    users("GET", "/reauthenticate", 200),
    users("POST", "/logout", 204, "?scope=others"),
    users("POST", "/logout", 204, "?scope=local"),
    users("POST", "/logout", 204),
    users("GET", "/sessions", 200),
    users("DELETE", "/sessions", 204),
    users("DELETE", "/sessions/{session_id}", 204, other=ELSEWHERE, weak=ELSEWHERE),
    users("POST", "/factors", 200, body={"factor_type": "totp"}, weak=TOO_WEAK),
    users("POST", "/factors/{factor_id}/challenge", NO_FACTOR, body={}, weak=200),
    users(
        "POST",
        "/factors/{factor_id}/verify",
        NO_FACTOR,
        body={"challenge_id": NOTHING, "code": "1"},
        weak=NO_CHALLENGE,
    ),
    users("DELETE", "/factors/{factor_id}", NO_FACTOR, weak=(422, "insufficient_aal")),
    users("GET", "/factors/recovery-codes", NO_FACTOR),
    users("POST", "/factors/recovery-codes", SOLE, body={}, weak=TOO_WEAK),
    users("POST", "/factors/recovery-codes/regenerate", SOLE, body={}, weak=TOO_WEAK),
    users("POST", "/factors/recovery-codes/verify", WRONG_CODE, body={"code": "1"}),
    users("DELETE", "/factors/recovery-codes", SOLE, weak=TOO_WEAK),
    users("GET", "/passkeys", OFF),
    users("POST", "/passkeys/registration/options", OFF, body={}),
    users("POST", "/passkeys/registration/verify", OFF, body={"challenge_id": NOTHING, "credential": {}}),
    users("PATCH", "/passkeys/{passkey_id}", OFF, body={"friendly_name": "a"}),
    users("DELETE", "/passkeys/{passkey_id}", OFF),
    public("POST", "/passkeys/authentication/options", OFF, body={}),
    public("POST", "/passkeys/authentication/verify", OFF, body={"challenge_id": NOTHING, "credential": {}}),
    administrators("GET", "/admin/users/{user_id}/sessions", 200),
    administrators("DELETE", "/admin/users/{user_id}/sessions/{session_id}", 204),
    administrators("DELETE", "/admin/users/{user_id}/sessions", 204),
    administrators("GET", "/admin/users/{user_id}/factors", 200),
    administrators(
        "PUT", "/admin/users/{user_id}/factors/{factor_id}", NO_FACTOR, body={"friendly_name": "a"}
    ),
    administrators("DELETE", "/admin/users/{user_id}/factors/{factor_id}", NO_FACTOR),
    administrators("GET", "/admin/users/{user_id}/passkeys", OFF),
    administrators("DELETE", "/admin/users/{user_id}/passkeys/{passkey_id}", OFF),
    administrators("GET", "/admin/users", 200),
    administrators("POST", "/admin/users", 200, body={"email": "NEW"}),
    administrators("GET", "/admin/users/{user_id}", 200),
    administrators("PUT", "/admin/users/{user_id}", 200, body={"user_metadata": {"a": 1}}),
    administrators("DELETE", "/admin/users/{user_id}", 200),
    administrators("POST", "/invite", 200, body={"email": "NEW"}),
    administrators("POST", "/admin/generate_link", 200, body={"type": "magiclink", "email": "NEW"}),
    administrators("GET", "/admin/audit", 200),
)


async def arrive(people: People, email: str | None = None) -> Person:
    """Sign somebody in by a link, somebody new unless named: no password is hashed, so it takes no time."""
    kind = "invite" if email is None else "magiclink"
    email = email or f"{uuid4().hex}@example.com"
    link = await people.client.post(
        f"{PREFIX}/admin/generate_link",
        json={"type": kind, "email": email},
        headers={"Authorization": f"Bearer {service_key()}"},
    )
    answer = await people.client.post(
        f"{PREFIX}/verify", json={"type": kind, "token_hash": link.json()["hashed_token"]}
    )
    assert answer.status_code == 200, answer.text
    return Person(email, answer.json())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def careful(people: People) -> tuple[str, str]:
    """The address of somebody who has a second factor, and the factor's id."""
    person = await arrive(people)

    async def factors(path: str, **body: str) -> Any:
        answer = await people.client.post(f"{PREFIX}/factors{path}", json=body, headers=person.bearer)
        assert answer.status_code == 200, answer.text
        return answer.json()

    made = await factors("", factor_type="totp")
    app = App(made["id"], made["totp"]["uri"])
    asked = await factors(f"/{app.factor_id}/challenge")
    await factors(f"/{app.factor_id}/verify", challenge_id=asked["id"], code=app.code())
    return person.email, app.factor_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(people: People) -> str:
    """A token whose session has ended, and everybody has heard of it."""
    person = await arrive(people)
    await people.client.post(f"{PREFIX}/logout", headers=person.bearer)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await people.client.get(f"{PREFIX}/admin/audit", headers=person.bearer)
            if answer.json()["code"] == "session_not_found":
                return str(person.tokens["access_token"])
            await asyncio.sleep(0.01)


def bearers(
    user: Person, other: Person, weak: Person, ended: str, claims: Mapping[str, Any]
) -> dict[str, str | None]:
    """Return the token of each caller."""
    expired = TokenCodec(secret=JWT_SECRET).sign({**claims, "exp": claims["iat"] - 3600})
    return {
        "nobody": None,
        "anon": anon_key(),
        "expired": expired,
        "ended": ended,
        "other": other.tokens["access_token"],
        "weak": weak.tokens["access_token"],
        "user": user.tokens["access_token"],
        "service": service_key(),
    }


async def call(
    people: People, row: Row, bearer: str | None, places: Mapping[str, str], who: str
) -> httpx.Response:
    headers = V2 | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    new = f"{who}.{places['user_id']}@example.com"
    body = row.body and {name: new if value == "NEW" else value for name, value in row.body.items()}
    path = f"{PREFIX}{row.route.format(**places)}{row.query}"
    content: dict[str, Any] = {"json": body} if body is not None else {}
    return await people.client.request(row.method, path, headers=headers, **content)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
async def test_what_everybody_gets(people: People, ended: str, careful: tuple[str, str], row: Row) -> None:
    user, other = await arrive(people), await arrive(people)
    weak, factor_id = await arrive(people, careful[0]), careful[1]
    claims = await people.claims(user.tokens["access_token"])
    places = {
        "user_id": str(user.id),
        "session_id": claims["session_id"],
        "authorization_id": NOTHING,
        "client_id": NOTHING,
        "provider_id": NOTHING,
        "identity_id": NOTHING,
        "identifier": "custom:none",
        "factor_id": NOTHING,
        "passkey_id": NOTHING,
    }
    found: dict[str, Cell] = {}
    for caller, bearer in bearers(user, other, weak, ended, claims).items():
        own = places | ({"factor_id": factor_id} if caller == "weak" else {})
        answer = await call(people, row, bearer, own, caller)
        code = answer.json()["code"] if answer.status_code >= 400 else None
        found[caller] = answer.status_code if code is None else (answer.status_code, code)
        assert answer.headers.get("x-sb-error-code") == code
    assert found == dict(row.cells)


async def test_no_route_is_missing(shared: Served) -> None:
    routes = {
        (method, path.removeprefix(PREFIX).replace(":str}", "}").replace(":uuid}", "}"))
        for path, handler in handlers(shared.app)
        if path.startswith(PREFIX)
        for method in getattr(handler, "http_methods", ())
        if method not in ("HEAD", "OPTIONS")
    }
    assert routes == {(row.method, row.route) for row in TABLE}
