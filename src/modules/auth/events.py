"""What auth tells the rest of the product."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.events import Event


class UserSignedUp(Event, frozen=True):
    """A user exists that did not; ``provider`` is how."""

    name: ClassVar[str] = "auth.user_signed_up"

    user_id: str
    email: str | None
    provider: str


class UserSignedIn(Event, frozen=True):
    """A session was opened by ``method`` (an ``amr`` method)."""

    name: ClassVar[str] = "auth.user_signed_in"

    user_id: str
    session_id: str
    method: str
    address: str | None = None


class TokenRefreshed(Event, frozen=True):
    """A session got a new access token."""

    name: ClassVar[str] = "auth.token_refreshed"

    user_id: str
    session_id: str


class TokenReuseDetected(Event, frozen=True):
    """A refresh token was used again long after its successor: one of two holders is a thief."""

    name: ClassVar[str] = "auth.token_reuse_detected"

    user_id: str
    session_id: str
    address: str | None = None


class UserSignedOut(Event, frozen=True):
    """Sessions ended; ``scope`` is global, local, others or session."""

    name: ClassVar[str] = "auth.user_signed_out"

    user_id: str
    scope: str
    sessions: int


class UserUpdated(Event, frozen=True):
    """A user changed something of their own; ``changed`` names it."""

    name: ClassVar[str] = "auth.user_updated"

    user_id: str
    changed: tuple[str, ...]


class SigningKeysRotated(Event, frozen=True):
    """Another key signs access tokens from now on; both name it by ``kid``."""

    name: ClassVar[str] = "auth.signing_keys_rotated"

    current: str
    previous: str | None


class SigningKeyRetired(Event, frozen=True):
    """A key verifies no more."""

    name: ClassVar[str] = "auth.signing_key_retired"

    kid: str
