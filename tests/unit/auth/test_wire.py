from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modules.auth.dtos import PasswordGrant
from modules.auth.errors import BadJson, InvalidCredentials, RefreshTokenRequired, SavingRefused, WeakPassword
from modules.auth.origin import Origin
from modules.auth.wire import decode, render
from monohull.kernel.authentication import Credentials
from monohull.kernel.errors import (
    BodyTooLarge,
    Forbidden,
    InternalError,
    InvalidCredential,
    InvalidRequest,
    Problem,
    RateLimited,
    RedisUnavailable,
    Unauthenticated,
)

UNREADABLE = "invalid JWT: unable to parse or verify signature"


def scope(version: str | None = None, **credentials: str) -> dict[str, Any]:
    headers = [] if version is None else [(b"x-supabase-api-version", version.encode())]
    return {"headers": headers, "state": {"credentials": Credentials(**credentials), "request_id": "r1"}}


def shown(problem: Problem, scope_: dict[str, Any]) -> tuple[int, Any]:
    rendered = render(problem, scope_)
    return rendered.status, msgspec.json.decode(rendered.body)


@pytest.mark.parametrize("version", ["2024-01-01", "2024-06-30", "2099-12-31"])
def test_new_clients_get_the_code_as_text(version: str) -> None:
    rendered = render(InvalidCredentials(), scope(version))
    assert msgspec.json.decode(rendered.body) == {
        "code": "invalid_credentials",
        "message": "Invalid login credentials",
    }
    assert rendered.headers["x-supabase-api-version"] == "2024-01-01"
    assert rendered.headers["x-sb-error-code"] == "invalid_credentials"


@pytest.mark.parametrize("version", [None, "2023-12-31", "yesterday", "", "\xff"])
def test_others_get_the_status(version: str | None) -> None:
    rendered = render(InvalidCredentials(), scope(version))
    assert msgspec.json.decode(rendered.body) == {
        "code": 400,
        "error_code": "invalid_credentials",
        "msg": "Invalid login credentials",
    }
    assert "x-supabase-api-version" not in rendered.headers


def test_a_weak_password_comes_with_its_reasons() -> None:
    assert shown(WeakPassword("too short", ["length"]), scope("2024-01-01")) == (
        422,
        {"code": "weak_password", "message": "too short", "weak_password": {"reasons": ["length"]}},
    )


@pytest.mark.parametrize("version", [None, "2024-01-01"])
def test_one_refusal_has_the_shape_of_oauth(version: str | None) -> None:
    assert shown(RefreshTokenRequired(), scope(version)) == (
        400,
        {"error": "invalid_request", "error_description": "refresh_token required"},
    )


@pytest.mark.parametrize(
    ("problem", "credentials", "status", "code", "message"),
    [
        (Unauthenticated("x"), {}, 401, "no_authorization", "This endpoint requires a valid Bearer token"),
        (Unauthenticated("x"), {"bearer": "t"}, 403, "bad_jwt", "invalid claim: missing sub claim"),
        (InvalidCredential("no", reason="x"), {"apikey": "k"}, 401, "no_authorization", "Invalid API key"),
        (
            InvalidCredential("JWT expired", reason="expired"),
            {"bearer": "t"},
            403,
            "bad_jwt",
            "invalid JWT: unable to parse or verify signature, token has invalid claims: token is expired",
        ),
        (
            InvalidCredential("No suitable key or wrong key type", reason="signature"),
            {"bearer": "t"},
            403,
            "bad_jwt",
            f"{UNREADABLE}, token signature is invalid: signature is invalid",
        ),
        (
            InvalidCredential("Expected 3 parts in JWT; got 1", reason="malformed"),
            {"bearer": "t"},
            403,
            "bad_jwt",
            f"{UNREADABLE}, token is malformed: token contains an invalid number of segments",
        ),
        (
            InvalidCredential("JWT not yet valid", reason="early"),
            {"bearer": "t"},
            403,
            "bad_jwt",
            "invalid JWT: unable to parse or verify signature, JWT not yet valid",
        ),
        (Forbidden("x"), {"bearer": "t"}, 403, "not_admin", "User not allowed"),
        (BodyTooLarge("big"), {}, 413, "request_entity_too_large", "big"),
        (RateLimited("x"), {}, 429, "over_request_rate_limit", "Request rate limit reached"),
        (InvalidRequest("bad"), {}, 400, "validation_failed", "bad"),
        (RedisUnavailable("away"), {}, 503, "redis_unavailable", "away"),
        (SavingRefused("no", details="why"), {}, 422, "unexpected_failure", "no: why"),
    ],
)
def test_the_kernels_refusals_in_gotrues_words(
    problem: Problem, credentials: dict[str, str], status: int, code: str, message: str
) -> None:
    assert shown(problem, scope("2024-01-01", **credentials)) == (status, {"code": code, "message": message})


def test_a_defect_names_the_request() -> None:
    assert shown(InternalError("secret detail"), scope()) == (
        500,
        {
            "code": 500,
            "error_code": "unexpected_failure",
            "msg": "Unexpected failure, please check server logs for more information",
            "error_id": "r1",
        },
    )


def test_retry_after_goes_out() -> None:
    assert render(RateLimited("x", headers={"Retry-After": "7"}), scope()).headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"email": 7}',
        b'{"email": "\xff"}',
        b'{"email": "\\ud800"}',
        b"[" * 100_000,
    ],
)
def test_bodies_that_do_not_decode(body: bytes) -> None:
    with pytest.raises(BadJson):
        decode(body, PasswordGrant)


def test_unknown_fields_are_ignored() -> None:
    body = b'{"email": "a@b.io", "password": "x", "gotrue_meta_security": {"captcha_token": null}}'
    assert decode(body, PasswordGrant) == PasswordGrant(email="a@b.io", password="x")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, "local"),
        ("/run/monohull.sock", "local"),
    ],
)
def test_one_caller_is_an_address_or_a_site(address: str | None, network: str) -> None:
    assert Origin(address).network == network


def test_what_a_client_calls_itself_is_cut() -> None:
    assert Origin(user_agent="x" * 9999 + "\0").agent == "x" * 512
    assert Origin(user_agent="").agent is None
