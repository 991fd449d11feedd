"""Bodies of ``/auth/v1/passkeys``; the field names are the wire's."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct


class PasskeyAnswer(Struct, frozen=True, kw_only=True):
    """What the browser's authenticator answered to a challenge."""

    challenge_id: UUID | None = None
    credential: dict[str, Any] | None = None


class PasskeyPatch(Struct, frozen=True, kw_only=True):
    """``PATCH /passkeys/{id}``."""

    friendly_name: str | None = None


class OptionsView(Struct, frozen=True, kw_only=True):
    """What the browser needs; ``expires_at`` in unix time."""

    challenge_id: UUID
    options: dict[str, Any]
    expires_at: int


class PasskeyView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A passkey as its owner sees it."""

    id: UUID
    friendly_name: str | None = None
    created_at: datetime
    last_used_at: datetime | None = None
