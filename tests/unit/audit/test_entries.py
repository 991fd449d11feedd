"""The canonical encoding: every field counts, and none runs into the next."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from modules.audit.entries import FIELDS, GENESIS, digest
from modules.audit.secrets import without_secrets

AT = datetime(2026, 11, 26, 4, 5, 6, 789, tzinfo=UTC)
FIELDS_OF_ONE: dict[str, Any] = dict.fromkeys(FIELDS) | {
    "sequence": 1,
    "id": UUID(int=7),
    "recorded_at": AT,
    "occurred_at": AT,
    "action": "a.b",
    "actor_kind": "user",
    "actor_id": "x",
}


def test_the_encoding_is_the_documented_one() -> None:
    def there(value: str | bytes) -> bytes:
        raw = value.encode() if isinstance(value, str) else value
        return b"\1" + len(raw).to_bytes(4, "big") + raw

    at = there("1795665906000789")
    expected = (
        b"monohull.audit.1"
        + there("2026_11")
        + there("1")
        + there("00000000-0000-0000-0000-000000000007")
        + at
        + at
        + there("a.b")
        + there("user")
        + there("x")
        + b"\0" * 11
        + there(GENESIS)
    )
    assert digest("2026_11", FIELDS_OF_ONE, GENESIS) == hashlib.sha256(expected).digest()


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_counts(name: str) -> None:
    other = FIELDS_OF_ONE | {name: "" if FIELDS_OF_ONE[name] is None else f"{FIELDS_OF_ONE[name]}!"}
    assert digest("2026_11", other, GENESIS) != digest("2026_11", FIELDS_OF_ONE, GENESIS)


def test_text_does_not_run_from_one_field_into_the_next() -> None:
    left = FIELDS_OF_ONE | {"address": "ab", "user_agent": "c"}
    right = FIELDS_OF_ONE | {"address": "a", "user_agent": "bc"}
    assert digest("2026_11", left, GENESIS) != digest("2026_11", right, GENESIS)


def test_secrets_are_removed_at_any_depth() -> None:
    given = {
        "email": "a@example.com",
        "encrypted_password": "x",
        "codes": ["1", "2"],
        "deep": [{"api_key": "k", "secretary": "Ann", "confirmation_token": None}],
        "country_code": "de",
    }
    assert without_secrets(given) == {
        "email": "a@example.com",
        "encrypted_password": "[removed]",
        "codes": "[removed]",
        "deep": [{"api_key": "[removed]", "secretary": "Ann", "confirmation_token": None}],
        "country_code": "de",
    }
