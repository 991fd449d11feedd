"""Settings of a data request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monohull.kernel.database.login import Login
from monohull.kernel.database.role import (
    _Kept,
    headers_json,
    quoted_search_path,
    request_settings,
    settings_template,
)
from monohull.kernel.database.statements import BoundSettings, is_read_only
from monohull.kernel.errors import InvalidRequest
from monohull.kernel.principal import Principal, PrincipalKind, anonymous

PLAIN: dict[str, Any] = {
    "method": "GET",
    "path": "/rest/v1/orders",
    "search_path": '"public"',
    "read_only": True,
}


def test_the_settings_of_a_request_in_their_order() -> None:
    ann = Principal(
        kind=PrincipalKind.USER,
        role="authenticated",
        subject="a",
        claims={"role": "authenticated", "sub": "a"},
    )
    settings = request_settings(
        ann,
        **PLAIN,
        headers=[(b"Host", b"shop"), (b"cookie", b"sid=1"), (b"accept", b"a"), (b"accept", b"b")],
        cookies={"sid": "1"},
        timeout_ms=3000,
        more=[("timezone", "UTC")],
    )
    assert settings == (
        ("search_path", '"public"'),
        ("transaction_read_only", "on"),
        ("statement_timeout", "3000"),
        ("request.method", "GET"),
        ("request.path", "/rest/v1/orders"),
        ("request.headers", '{"host":"shop","accept":"a, b"}'),
        ("request.cookies", '{"sid":"1"}'),
        ("request.jwt.claims", '{"role":"authenticated","sub":"a"}'),
        ("role", "authenticated"),
        ("timezone", "UTC"),
    )


def test_what_is_not_there_is_empty() -> None:
    found = dict(request_settings(anonymous("anon"), **(PLAIN | {"read_only": False})))
    assert found["transaction_read_only"] == "off"
    assert (found["request.headers"], found["request.cookies"]) == ("{}", "{}")
    assert "statement_timeout" not in found


@pytest.mark.parametrize("value", ["'; drop table x; --", '"', "\\", "a\nb", "ü€", "%00"])
def test_values_are_json_text(value: str) -> None:
    text = headers_json([(b"x-any", value.encode())])
    assert msgspec.json.decode(text) == {"x-any": value}


def test_a_header_that_is_no_utf8_is_latin1() -> None:
    assert msgspec.json.decode(headers_json([(b"x", b"caf\xe9")])) == {"x": "café"}


@pytest.mark.parametrize(
    "where",
    [
        {"path": "/a\0b"},
        {"cookies": {"sid": "a\0"}},
        {"method": "G\0"},
        {"headers": [(b"x", b"\0")]},
        {"search_path": '"\0"'},
        {"more": [("timezone", "\0")]},
    ],
)
def test_zero_bytes_are_refused(where: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="zero byte"):
        request_settings(anonymous("anon"), **(PLAIN | where))


def test_search_path() -> None:
    assert quoted_search_path(["public", 'a"b', "extensions"]) == '"public", "a""b", "extensions"'


def test_the_owner_stands_in_for_service_role_alone() -> None:
    login = Login("owner", "postgresql://secret", "shop_owner", "because")
    assert login.effective_role("service_role") == "shop_owner"
    assert login.effective_role("anon") == "anon"
    assert login.effective_settings([("role", "service_role"), ("x.y", "service_role")]) == [
        ("role", "shop_owner"),
        ("x.y", "service_role"),
    ]
    assert "secret" not in repr(login)
    same = [("role", "service_role")]
    assert Login("authenticator", "url").effective_settings(same) is same


def principal_of(subject: str, role: str = "authenticated") -> Principal:
    claims = {"role": role, "sub": subject}
    return Principal(kind=PrincipalKind.USER, role=role, subject=subject, claims=claims)


VARIED: tuple[dict[str, Any], ...] = (
    {},
    {"headers": [(b"Host", b"shop"), (b"cookie", b"sid=1"), (b"accept", b"a"), (b"accept", b"b")]},
    {"cookies": {"sid": "ü"}},
    {"timeout_ms": 3000},
    {"read_only": False},
    {"method": "POST"},
    {"path": "/rest/v1/notes"},
    {"search_path": '"other"'},
    {"more": (("timezone", "UTC"), ("app.x", "y"))},
    {"more": (("timezone", "Asia/Tokyo"),)},
)


def bound_settings(who: Principal, **asked: Any) -> BoundSettings:
    own = {name: asked.pop(name) for name in ("headers", "cookies") if name in asked}
    return settings_template(**asked).fill(who, **own)


def test_bound_settings_are_the_settings_whatever_came_before() -> None:
    """Twice over: the second time everything is found, and nobody finds another's."""
    people = (principal_of("a"), principal_of("b"), principal_of("a", role="editor"), anonymous("anon"))
    for _ in range(2):
        for where in VARIED:
            for who in people:
                asked = PLAIN | where
                bound = bound_settings(who, **asked)
                assert tuple(bound) == request_settings(who, **asked)
                assert bound.is_read_only == is_read_only(request_settings(who, **asked))


@pytest.mark.parametrize(
    "where",
    [
        {"path": "/a\0b"},
        {"cookies": {"sid": "a\0"}},
        {"method": "G\0"},
        {"headers": [(b"x", b"\0")]},
        {"search_path": '"\0"'},
        {"more": (("timezone", "\0"),)},
    ],
)
def test_zero_bytes_are_refused_and_not_kept(where: dict[str, Any]) -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="zero byte"):
            bound_settings(anonymous("anon"), **(PLAIN | where))


def test_a_header_may_spell_a_zero_byte() -> None:
    bound = dict(bound_settings(anonymous("anon"), **PLAIN, headers=[(b"x", rb"\u0000")]))
    assert msgspec.json.decode(bound["request.headers"]) == {"x": r"\u0000"}


def test_what_is_kept_is_bounded_in_bytes() -> None:
    kept: _Kept[str] = _Kept(50_000)
    for number in range(1000):
        kept.put(number, "v", 1000)
    assert 20 <= len(kept) <= 50
    assert kept.get(999) is not None
    assert kept.get(0) is None
    kept.put("large", "v", 60_000)
    assert len(kept) == 0


def test_the_owner_stands_in_below_bound_settings_too() -> None:
    login = Login("owner", "postgresql://secret", "shop_owner", "because")
    bound = bound_settings(principal_of("a", role="service_role"), **PLAIN)
    assert dict(login.effective_settings(bound))["role"] == "shop_owner"
    assert Login("authenticator", "url").effective_settings(bound) is bound
