"""Every refusal and every answer of the routes, as a client sees them: one row, one test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

from modules.auth.tokens import TokenCodec
from tests.application import JWT_SECRET, anon_key, service_key
from tests.integration.auth.people import V2

if TYPE_CHECKING:
    from tests.application import Served
    from tests.integration.auth.people import People

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEARER = "This endpoint requires a valid Bearer token"


class Case(Struct, frozen=True, kw_only=True):
    name: str
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = {}
    status: int
    code: str
    message: str | None = None


def signup(name: str, body: Any, status: int, code: str, message: str | None = None) -> Case:
    return Case(
        name=f"signup {name}",
        method="POST",
        path="/signup",
        body=body,
        status=status,
        code=code,
        message=message,
    )


def token(name: str, grant: str, body: Any, *refusal: Any) -> Case:
    status, code, message = (*refusal, None)[:3]
    return Case(
        name=f"token {name}",
        method="POST",
        path=f"/token{grant}",
        body=body,
        status=status,
        code=code,
        message=message,
    )


def user_route(name: str, route: tuple[str, str], headers: dict[str, str], *refusal: Any) -> Case:
    (method, path), (status, code, message) = route, (*refusal, None)[:3]
    return Case(
        name=f"{method} {path} {name}",
        method=method,
        path=path,
        headers=headers,
        status=status,
        code=code,
        message=message,
    )


PASSWORD_GRANT = "?grant_type=password"
REFRESH_GRANT = "?grant_type=refresh_token"
USER_ROUTES = [
    ("GET", "/user"),
    ("PUT", "/user"),
    ("POST", "/logout"),
    ("GET", "/sessions"),
    ("DELETE", "/sessions"),
    ("DELETE", "/sessions/00000000-0000-0000-0000-000000000000"),
    ("GET", "/factors/recovery-codes"),
    ("POST", "/factors/recovery-codes"),
    ("POST", "/factors/00000000-0000-0000-0000-000000000000/challenge"),
    ("DELETE", "/factors/00000000-0000-0000-0000-000000000000"),
]

CASES = [
    signup(
        "neither address nor number",
        {},
        422,
        "anonymous_provider_disabled",
        "Anonymous sign-ins are disabled",
    ),
    signup("no password", {"email": "a@b.io"}, 400, "validation_failed", "Signup requires a valid password"),
    signup("empty password", {"email": "a@b.io", "password": ""}, 400, "validation_failed"),
    signup(
        "short password",
        {"email": "a@b.io", "password": "1234567"},
        422,
        "weak_password",
        "Password should be at least 8 characters.",
    ),
    signup(
        "long password",
        {"email": "a@b.io", "password": "x" * 73},
        400,
        "validation_failed",
        "Password cannot be longer than 72 characters",
    ),
    signup("both", {"email": "a@b.io", "phone": "1", "password": "12345678"}, 400, "validation_failed"),
    signup(
        "phone",
        {"phone": "+4912345", "password": "12345678"},
        400,
        "phone_provider_disabled",
        "Phone signups are disabled",
    ),
    signup(
        "no address",
        {"email": "nobody", "password": "12345678"},
        400,
        "validation_failed",
        "Unable to validate email address: invalid format",
    ),
    signup("NUL in the address", {"email": "a\0@b.io", "password": "12345678"}, 400, "validation_failed"),
    signup(
        "NUL in data",
        {"email": "a@b.io", "password": "12345678", "data": {"a": ["\0"]}},
        400,
        "validation_failed",
    ),
    signup("wrong type", {"email": 7}, 400, "bad_json"),
    signup("data is no object", {"email": "a@b.io", "password": "12345678", "data": [1]}, 400, "bad_json"),
    signup("no body", b"", 400, "bad_json"),
    signup("no JSON", b"email=a@b.io", 400, "bad_json"),
    signup("no UTF-8", b'{"email": "\xff"}', 400, "bad_json"),
    signup("too deep", b'{"data":' + b"[" * 100_000, 400, "bad_json"),
    signup("too large", b'{"email": "' + b"x" * 1_000_001 + b'"}', 413, "request_entity_too_large"),
    token("no grant", "", {}, 400, "invalid_credentials", "unsupported_grant_type"),
    token("unknown grant", "?grant_type=magic", {}, 400, "invalid_credentials", "unsupported_grant_type"),
    token(
        "two grants",
        "?grant_type=magic&grant_type=password",
        {},
        400,
        "validation_failed",
        "missing email or phone",
    ),
    token(
        "no address", PASSWORD_GRANT, {"password": "x"}, 400, "validation_failed", "missing email or phone"
    ),
    token("both", PASSWORD_GRANT, {"email": "a@b.io", "phone": "1"}, 400, "validation_failed"),
    token(
        "phone",
        PASSWORD_GRANT,
        {"phone": "1", "password": "x"},
        400,
        "phone_provider_disabled",
        "Phone logins are disabled",
    ),
    token(
        "unknown user",
        PASSWORD_GRANT,
        {"email": "nobody@b.io", "password": "x"},
        400,
        "invalid_credentials",
        "Invalid login credentials",
    ),
    token(
        "no password",
        PASSWORD_GRANT,
        {"email": "nobody@b.io"},
        400,
        "invalid_credentials",
        "Invalid login credentials",
    ),
    token("NUL", PASSWORD_GRANT, {"email": "a\0b@b.io", "password": "\0"}, 400, "invalid_credentials"),
    token("huge address", PASSWORD_GRANT, {"email": "a" * 9999, "password": "x"}, 400, "invalid_credentials"),
    token("no JSON", PASSWORD_GRANT, b"{", 400, "bad_json"),
    token(
        "unknown refresh token",
        REFRESH_GRANT,
        {"refresh_token": "nothing"},
        400,
        "refresh_token_not_found",
        "Invalid Refresh Token: Refresh Token Not Found",
    ),
    token("refresh token of a wrong type", REFRESH_GRANT, {"refresh_token": 7}, 400, "bad_json"),
    *(user_route("without anything", route, {}, 401, "no_authorization", BEARER) for route in USER_ROUTES),
    *(
        user_route("with the anon key alone", route, {"apikey": anon_key()}, 401, "no_authorization", BEARER)
        for route in USER_ROUTES
    ),
    *(
        user_route(
            "with basic authentication",
            route,
            {"Authorization": "Basic eDp5"},
            401,
            "no_authorization",
            BEARER,
        )
        for route in USER_ROUTES
    ),
    *(
        user_route(
            "with the anon key as bearer",
            route,
            {"Authorization": f"Bearer {anon_key()}"},
            403,
            "bad_jwt",
            "invalid claim: missing sub claim",
        )
        for route in USER_ROUTES
    ),
    *(
        user_route(
            "with the service key as bearer",
            route,
            {"Authorization": f"Bearer {service_key()}"},
            403,
            "bad_jwt",
            "invalid claim: missing sub claim",
        )
        for route in USER_ROUTES
    ),
    *(
        user_route(
            "with a broken token",
            route,
            {"Authorization": "Bearer x.y.z"},
            403,
            "bad_jwt",
            "invalid JWT: unable to parse or verify signature, token is malformed: it cannot be decoded",
        )
        for route in USER_ROUTES
    ),
    *(
        user_route(
            "with a broken key", route, {"apikey": "x.y.z"}, 401, "no_authorization", "Invalid API key"
        )
        for route in USER_ROUTES
    ),
    *(
        user_route(
            "with an unknown opaque key", route, {"Authorization": "Bearer sb_secret_x"}, 403, "bad_jwt"
        )
        for route in USER_ROUTES
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_refusal(shared: Served, case: Case) -> None:
    body = (
        case.body
        if isinstance(case.body, bytes)
        else json.dumps(case.body).encode()
        if case.body is not None
        else None
    )
    answer = await shared.client.request(
        case.method, f"/auth/v1{case.path}", content=body, headers={**V2, **case.headers}
    )
    assert (answer.status_code, answer.json()["code"]) == (case.status, case.code), answer.text
    assert answer.headers["x-sb-error-code"] == case.code
    assert answer.headers["x-supabase-api-version"] == "2024-01-01"
    if case.message is not None:
        assert answer.json()["message"] == case.message


async def test_an_empty_refresh_token_is_refused_as_oauth_does(people: People) -> None:
    for body in ({}, {"refresh_token": ""}, {"refresh_token": None}):
        answer = await people.grant("refresh_token", **body)
        assert answer.status_code == 400
        assert answer.json() == {"error": "invalid_request", "error_description": "refresh_token required"}


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"sub": "not-a-uuid"}, 400, "bad_jwt"),
        ({"sub": "00000000-0000-0000-0000-000000000000"}, 403, "user_not_found"),
        ({"sub": "x", "exp": 1}, 403, "bad_jwt"),
    ],
)
async def test_tokens_that_name_nobody(
    shared: Served, claims: dict[str, Any], status: int, code: str
) -> None:
    bearer = TokenCodec(secret=JWT_SECRET).sign({"role": "authenticated", **claims})
    answer = await shared.client.get("/auth/v1/user", headers={"Authorization": f"Bearer {bearer}", **V2})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_public_routes_do_not_look_at_the_bearer_token(people: People) -> None:
    person = await people.sign_up()
    for bearer in ("x.y.z", "", "sb_secret_nonsense"):
        answer = await people.client.post(
            "/auth/v1/token?grant_type=password",
            json={"email": person.email, "password": "correct-horse"},
            headers={"Authorization": f"Bearer {bearer}"},
        )
        assert answer.status_code == 200


async def test_health_settings_and_keys(shared: Served) -> None:
    health = await shared.client.get("/auth/v1/health")
    assert health.json()["name"] == "GoTrue"
    settings = (await shared.client.get("/auth/v1/settings")).json()
    assert settings["external"]["email"] is True
    assert settings["external"]["google"] is False
    assert settings["mailer_autoconfirm"] is True
    assert settings["disable_signup"] is False
    for path in ("/auth/v1/.well-known/jwks.json", "/.well-known/jwks.json"):
        keys = await shared.client.get(path)
        assert [(key["kty"], key["alg"], key["use"]) for key in keys.json()["keys"]] == [
            ("EC", "ES256", "sig")
        ] * 2
        assert keys.headers["cache-control"] == "public, max-age=600"


async def test_every_route_says_who_may_call_it(shared: Served) -> None:
    """Either the explicit mark or a guard, never nothing."""
    for route in shared.app.routes:
        if not route.path.startswith(("/auth/v1", "/.well-known", "/platform/v1/api-keys")):
            continue
        for handler in getattr(route, "route_handlers", [getattr(route, "route_handler", None)]):
            if handler is None or handler.fn.__name__ == "options_handler":
                continue
            assert handler.opt.get("public") or handler.resolve_guards(), f"{route.path} {handler}"
