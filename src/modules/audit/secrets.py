"""Take what must not be read out of what is written down."""

from __future__ import annotations

import re
from typing import Any, Final

REMOVED: Final = "[removed]"
"""Stands where a secret was: that it changed is worth knowing."""

_SECRET: Final = re.compile(
    r"passw|secret(?!ar)|token|api_?key|private_?key|credential|nonce|verifier"
    r"|(^|_)(otp|totp|hash|salt|pin|cvv|iban|ciphertext)(_|$)|^codes?$",
    re.IGNORECASE,
)
"""Names of fields and columns that hold secrets. ``comment on column … is '@secret'`` names others."""


def is_secret(name: str) -> bool:
    """Say whether a field of this name holds a secret.

    >>> [is_secret(name) for name in ("encrypted_password", "recovery_token", "key_id", "country_code")]
    [True, True, False, False]
    """
    return _SECRET.search(name) is not None


def without_secrets(value: Any) -> Any:
    """Return ``value`` with every secret in it replaced, at any depth."""
    if isinstance(value, dict):
        return {
            name: REMOVED if inner is not None and is_secret(str(name)) else without_secrets(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    return value
