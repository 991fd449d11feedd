"""What happened to keys. No event holds a key or its hash."""

from __future__ import annotations

from typing import Any, ClassVar

from monohull.kernel.counted import CountedEvent
from monohull.kernel.events import Event


class ApiKeyCreated(Event, frozen=True):
    """A key exists; ``prefix`` is what lists show of it."""

    name: ClassVar[str] = "api_keys.key_created"

    key_id: str
    key_name: str
    prefix: str
    permissions: tuple[str, ...]
    user_id: str | None = None


class ApiKeyChanged(Event, frozen=True):
    """Name, permissions or limits of a key are different; ``before`` and ``after`` hold what changed."""

    name: ClassVar[str] = "api_keys.key_changed"

    key_id: str
    key_name: str
    before: dict[str, Any]
    after: dict[str, Any]


class ApiKeyRotated(Event, frozen=True):
    """A key has a new text; the one before it, ``previous_prefix``, holds for ``overlap_seconds`` yet."""

    name: ClassVar[str] = "api_keys.key_rotated"

    key_id: str
    key_name: str
    prefix: str
    previous_prefix: str
    overlap_seconds: int


class ApiKeyRevoked(Event, frozen=True):
    """A key is refused from now on, everywhere within `authenticator.CACHE_SECONDS`."""

    name: ClassVar[str] = "api_keys.key_revoked"

    key_id: str
    key_name: str


class ApiKeyRefused(CountedEvent, frozen=True, kw_only=True):
    """A key that holds was not let in: from an address that it may not be used from, or over its quota."""

    name: ClassVar[str] = "api_keys.key_refused"

    key_id: str | None = None
    refusal: str | None = None
    address: str | None = None
