"""Who asks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monohull.kernel.principal import SYSTEM, Principal, PrincipalKind, anonymous


def test_nobody_in_particular() -> None:
    principal = anonymous("web_anon")
    assert principal.kind is PrincipalKind.ANONYMOUS
    assert principal.is_default
    assert (principal.role, principal.subject, principal.permissions) == ("web_anon", None, frozenset())
    assert principal.claims_json == '{"role":"web_anon"}'


def test_the_process_itself_may_everything() -> None:
    assert SYSTEM.kind is PrincipalKind.SERVICE
    assert SYSTEM.role == SYSTEM.claims["role"] == "service_role"
    assert SYSTEM.permissions == {"*"}
    assert not SYSTEM.is_default


def test_claims_are_encoded_once() -> None:
    claims = {"role": "authenticated", "sub": "ü", "app_metadata": {"a": [1, None, 1.5]}}
    principal = Principal(kind=PrincipalKind.USER, role="authenticated", claims=claims)
    assert msgspec.json.decode(principal.claims_json) == claims
    assert principal.claims_json is principal.claims_json


@pytest.mark.parametrize(
    ("claims", "session"), [({"session_id": "s1"}, "s1"), ({"session_id": 7}, None), ({}, None)]
)
def test_the_session_is_text_or_none(claims: dict[str, Any], session: str | None) -> None:
    assert Principal(kind=PrincipalKind.USER, role="r", claims=claims).session_id == session


def test_a_principal_does_not_change() -> None:
    with pytest.raises(AttributeError):
        SYSTEM.role = "postgres"  # type: ignore[misc]


def test_kinds_are_labels_of_metrics() -> None:
    assert [str(kind) for kind in PrincipalKind] == ["anonymous", "user", "service", "key"]
