"""What passkeys tell the rest of the product."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class PasskeyRegistered(Event, frozen=True):
    """A user can sign in with another key."""

    name: ClassVar[str] = "auth.passkey_registered"

    user_id: str
    passkey_id: str


class PasskeyUpdated(Event, frozen=True):
    """A passkey has another name."""

    name: ClassVar[str] = "auth.passkey_updated"

    user_id: str
    passkey_id: str


class PasskeyDeleted(Event, frozen=True):
    """A key opens no sessions any more."""

    name: ClassVar[str] = "auth.passkey_deleted"

    user_id: str
    passkey_id: str


PASSKEY_EVENTS: Final[tuple[type[Event], ...]] = (PasskeyRegistered, PasskeyUpdated, PasskeyDeleted)
ACTIONS: Final[dict[type[Event], tuple[str, str]]] = {
    PasskeyRegistered: ("passkey_created", "user"),
    PasskeyUpdated: ("passkey_updated", "user"),
    PasskeyDeleted: ("passkey_deleted", "user"),
}
"""What the audit log calls them, in GoTrue's manner."""
