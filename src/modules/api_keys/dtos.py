"""Bodies of ``/platform/v1/api-keys``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct


class CreateKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. No ``permissions``: everything for a secret key, nothing for a publishable one."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]
    kind: Literal["publishable", "secret"] = "secret"
    permissions: tuple[str, ...] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class KeyView(Struct, frozen=True, kw_only=True):
    """A key as lists show it."""

    id: UUID
    name: str
    kind: str
    prefix: str
    role: str
    permissions: tuple[str, ...]
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class CreatedKey(KeyView, frozen=True, kw_only=True):
    """A new key; ``key`` is shown this once."""

    key: str
