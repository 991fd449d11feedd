"""What is sent of an event: our envelope, or the body of Supabase's database webhooks for rows."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 msgspec reads it
from typing import Final
from uuid import UUID  # noqa: TC003 msgspec reads it

import msgspec
from msgspec import Struct

ROWS: Final = "rows."
"""What the names of events about rows of tables begin with."""


class Told(Struct, frozen=True, kw_only=True):
    """An event as it is kept for endpoints; the payload is passed on letter by letter."""

    id: UUID
    name: str
    version: int
    key: str | None
    occurred_at: datetime
    payload: msgspec.Raw
    request_id: str | None = None
    traceparent: str | None = None


class Envelope(Struct, frozen=True, kw_only=True):
    """The body in our own form; ``type``, ``timestamp`` and ``data`` are as Standard Webhooks advises."""

    id: UUID
    type: str
    timestamp: datetime
    version: int
    key: str | None
    data: msgspec.Raw


def body_of(event: Told, form: str) -> bytes:
    """Return what is sent of an event, the same at every attempt.

    Args:
        event: What happened.
        form: ``database`` sends the payload of a row event alone; it already is what Supabase sends.
    """
    if form == "database" and event.name.startswith(ROWS):
        return bytes(event.payload)
    return msgspec.json.encode(
        Envelope(
            id=event.id,
            type=event.name,
            timestamp=event.occurred_at,
            version=event.version,
            key=event.key,
            data=event.payload,
        )
    )
