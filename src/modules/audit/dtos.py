"""Bodies of ``/platform/v1/audit``."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct


class EntryView(Struct, frozen=True, kw_only=True):
    """An entry of the audit log; hashes are hexadecimal."""

    partition: str
    sequence: int
    id: UUID
    recorded_at: datetime
    occurred_at: datetime
    action: str
    actor_kind: str
    actor_id: str | None
    actor_role: str | None
    key_id: str | None
    login: str | None
    address: str | None
    user_agent: str | None
    object_kind: str | None
    object_id: str | None
    before: Any
    after: Any
    request_id: str | None
    trace_id: str | None
    previous_hash: str
    hash: str


class EntryPage(Struct, frozen=True, kw_only=True):
    """A page of entries, the newest first; ``next`` is the cursor of the page behind it, null for none."""

    entries: tuple[EntryView, ...]
    next: str | None
