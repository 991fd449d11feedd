"""What happens between users and the applications that sign them in here."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class OauthClientRegistered(Event, frozen=True):
    """There is a new application; ``registration`` is manual or dynamic."""

    name: ClassVar[str] = "auth.oauth_client_registered"

    client_id: str
    client_name: str
    registration: str


class OauthClientModified(Event, frozen=True):
    """An administrator changed an application; ``changed`` names what, ``client_secret`` a new secret."""

    name: ClassVar[str] = "auth.oauth_client_modified"

    client_id: str
    changed: tuple[str, ...]


class OauthClientDeleted(Event, frozen=True):
    """An application is gone, and ``sessions`` of its users ended."""

    name: ClassVar[str] = "auth.oauth_client_deleted"

    client_id: str
    sessions: int


class OauthConsentGranted(Event, frozen=True):
    """A user allowed an application ``scopes``."""

    name: ClassVar[str] = "auth.oauth_consent_granted"

    user_id: str
    client_id: str
    scopes: tuple[str, ...]


class OauthConsentDenied(Event, frozen=True):
    """A user refused an application."""

    name: ClassVar[str] = "auth.oauth_consent_denied"

    user_id: str
    client_id: str


class OauthGrantRevoked(Event, frozen=True):
    """A user took back what an application was allowed, and ``sessions`` of it ended."""

    name: ClassVar[str] = "auth.oauth_grant_revoked"

    user_id: str
    client_id: str
    sessions: int


class OauthCodeReused(Event, frozen=True):
    """A code was presented a second time: somebody else has it. The session of the first time ended."""

    name: ClassVar[str] = "auth.oauth_code_reused"

    user_id: str
    client_id: str
    address: str | None = None


OAUTH_EVENTS: Final[tuple[type[Event], ...]] = (
    OauthClientRegistered,
    OauthClientModified,
    OauthClientDeleted,
    OauthConsentGranted,
    OauthConsentDenied,
    OauthGrantRevoked,
    OauthCodeReused,
)

OAUTH_ACTIONS: Final[dict[type[Event], tuple[str, str]]] = {
    OauthClientRegistered: ("oauth_client_registered", "team"),
    OauthClientModified: ("oauth_client_modified", "team"),
    OauthClientDeleted: ("oauth_client_deleted", "team"),
    OauthConsentGranted: ("oauth_consent_granted", "account"),
    OauthConsentDenied: ("oauth_consent_denied", "account"),
    OauthGrantRevoked: ("oauth_grant_revoked", "account"),
    OauthCodeReused: ("token_revoked", "token"),
}
"""Their entries in the audit log."""
