"""What happened to keys. No event holds a key or its hash."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.events import Event


class ApiKeyCreated(Event, frozen=True):
    """A key exists; ``prefix`` is what lists show of it."""

    name: ClassVar[str] = "api_keys.key_created"

    key_id: str
    key_name: str
    prefix: str
    permissions: tuple[str, ...]


class ApiKeyRevoked(Event, frozen=True):
    """A key is refused from now on, everywhere within `authenticator.CACHE_SECONDS`."""

    name: ClassVar[str] = "api_keys.key_revoked"

    key_id: str
    key_name: str
