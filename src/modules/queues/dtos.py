"""Bodies of ``/platform/v1/queues``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from monohull.kernel.patterns import END

QueueName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,46}" + END)]


class CreateQueue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A queue to be made. One that is unlogged is faster, and empty after a crash of the database."""

    name: QueueName
    is_unlogged: bool = False


class QueueView(Struct, frozen=True, kw_only=True):
    """A queue and what waits in it: messages that are hidden for now included."""

    name: str
    is_unlogged: bool
    created_at: datetime
    length: int
    newest_age_seconds: int | None
    oldest_age_seconds: int | None
    total_messages: int


class Purged(Struct, frozen=True, kw_only=True):
    """How many messages were deleted."""

    messages: int
