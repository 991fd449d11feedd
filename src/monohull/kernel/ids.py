"""Identifiers: UUIDv7 for rows, tokens for people, short ids for requests.

UUIDv7 begins with the time, so that rows made together lie together in an
index. It tells that time to whoever reads it: a value that must not be guessed
is a `token` and never a UUID.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from uuid_utils import compat

if TYPE_CHECKING:
    from uuid import UUID

TOKEN_BYTES: Final = 32
MIN_TOKEN_BYTES: Final = 16
"""128 bits. Fewer could be searched, and `hash_token` would then be too fast a hash."""

_REQUEST_ID_BYTES: Final = 12


def uuid7() -> UUID:
    """Return a UUID of version 7; within a process each is greater than the one before."""
    return compat.uuid7()


def token(bytes_: int = TOKEN_BYTES) -> str:
    """Return ``bytes_`` random bytes as URL-safe text without padding.

    Raises:
        ValueError: Fewer than `MIN_TOKEN_BYTES` bytes are asked for.
    """
    if bytes_ < MIN_TOKEN_BYTES:
        raise ValueError(f"a token has at least {MIN_TOKEN_BYTES} bytes, not {bytes_}")
    return secrets.token_urlsafe(bytes_)


def hash_token(token: str) -> str:
    """Return what is stored in place of ``token``: its SHA-256 as 64 hexadecimal digits.

    Plain SHA-256 suffices because a token has 128 random bits at least. Slow,
    salted hashes make guessing dear where people choose from a small set;
    here there is nothing to guess from, no two tokens are alike for a table of
    hashes to help, and the look-up by hash has to be cheap. Never hash a
    password or a six-digit code with this.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def request_id() -> str:
    """Return 16 URL-safe characters, short enough to be read out on the telephone."""
    return secrets.token_urlsafe(_REQUEST_ID_BYTES)
