"""Entries of the audit log, and the hash that ties each to the one before.

The hash is SHA-256 over ``monohull.audit.1`` and the fields in the order of
`FIELDS`, each as one byte that says whether it is there, and if it is, its
length in four bytes (big endian) and its text in UTF-8. Times are whole
microseconds since 1970; JSON is hashed as it is stored, letter by letter.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

GENESIS: Final = bytes(32)
"""What the first entry of all has for a predecessor's hash."""

_FORMAT: Final = b"monohull.audit.1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ABSENT: Final = b"\0"


class Draft(Struct, frozen=True, kw_only=True):
    """What is known of an entry before it has its place.

    Attributes:
        id: Of the event, or of the change of a row.
        occurred_at: When the transaction began that caused it.
        action: ``module.thing_happened``.
        actor_kind: ``user``, ``key``, ``service``, ``anonymous``, ``refused``, ``command``, ``database``
            or ``system``.
        actor_id: The user, else the key, else the login.
        actor_role: PostgreSQL role it acted as.
        key_id: API key of the request.
        login: Session user, of changes that came from SQL.
        address: Where it came from.
        user_agent: As the client called itself.
        object_kind: What sort of thing it is about; a relation's name, of changed rows.
        object_id: Which one.
        before: JSON of what was there, without secrets.
        after: JSON of what is there now, or of what the event says, without secrets.
        request_id: What people quote.
        trace_id: 32 hexadecimal digits.
    """

    id: UUID
    occurred_at: datetime
    action: str
    actor_kind: str
    actor_id: str | None = None
    actor_role: str | None = None
    key_id: str | None = None
    login: str | None = None
    address: str | None = None
    user_agent: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    before: str | None = None
    after: str | None = None
    request_id: str | None = None
    trace_id: str | None = None


FIELDS: Final = (
    "sequence",
    "id",
    "recorded_at",
    "occurred_at",
    "action",
    "actor_kind",
    "actor_id",
    "actor_role",
    "key_id",
    "login",
    "address",
    "user_agent",
    "object_kind",
    "object_id",
    "before",
    "after",
    "request_id",
    "trace_id",
)
"""What is hashed, in this order, behind the partition and in front of the hash before.

``sequence`` counts from 1 in each partition; ``recorded_at`` never goes back.
"""

COLUMNS: Final = (*FIELDS, "previous_hash", "hash")


def digest(partition: str, fields: Mapping[str, Any], previous_hash: bytes) -> bytes:
    """Return the hash of an entry.

    Args:
        partition: The month it lies in.
        fields: The value of each of `FIELDS`.
        previous_hash: Of the entry in front of it.
    """
    parts = [_FORMAT]
    for value in (partition, *(fields[name] for name in FIELDS)):
        encoded = _encode(value)
        if encoded is None:
            parts.append(_ABSENT)
        else:
            parts += (b"\1", len(encoded).to_bytes(4, "big"), encoded)
    parts += (b"\1", len(previous_hash).to_bytes(4, "big"), previous_hash)
    return hashlib.sha256(b"".join(parts)).digest()


def month_of(at: datetime) -> str:
    """Return the partition of a time.

    >>> month_of(datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    '2026_11'
    """
    return f"{at.astimezone(UTC):%Y_%m}"


def microseconds(at: datetime) -> int:
    """Return a time as whole microseconds since 1970.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005
    """
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _encode(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, datetime):
        return str(microseconds(value)).encode()
    return str(value).encode()
