"""Standard Webhooks: secrets as people copy them, and the headers that prove who sent a body.

Source: Standard Webhooks, "signature scheme": HMAC-SHA256 over ``id.timestamp.body``, one signature for each
secret that holds, so that a receiver may change to the next secret whenever it likes during the overlap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
MIN_BYTES: Final = 24
MAX_BYTES: Final = 64
"""What Standard Webhooks allows a secret to have."""


def new_secret() -> str:
    """Return a secret as people copy it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def read_secret(text: str) -> bytes:
    """Return the bytes of a secret.

    >>> len(read_secret("whsec_" + "A" * 32))
    24

    Raises:
        ValueError: It is not ``whsec_`` and base64 of 24 to 64 bytes.
    """
    try:
        raw = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not text.startswith(PREFIX) or not MIN_BYTES <= len(raw) <= MAX_BYTES:
        raise ValueError(f"a secret is {PREFIX} and base64 of {MIN_BYTES} to {MAX_BYTES} bytes")
    return raw


def sign(message_id: str, timestamp: int, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """Return the headers of one attempt.

    Args:
        message_id: The event's id, the same at every attempt.
        timestamp: Of this attempt, in whole seconds since 1970.
        body: What is sent.
        keys: Bytes of every secret that holds, the newest first.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
