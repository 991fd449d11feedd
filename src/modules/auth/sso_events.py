"""What happens to organisations; what their people do are events like anybody's."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class SsoProviderAdded(Event, frozen=True):
    """People of an organisation can sign in."""

    name: ClassVar[str] = "auth.sso_provider_added"

    provider_id: str
    entity_id: str
    domains: tuple[str, ...]


class SsoProviderChanged(Event, frozen=True):
    """An administrator changed an organisation; ``changed`` names what."""

    name: ClassVar[str] = "auth.sso_provider_changed"

    provider_id: str
    changed: tuple[str, ...]


class SsoProviderRemoved(Event, frozen=True):
    """An organisation is gone, and ``sessions`` of its people ended."""

    name: ClassVar[str] = "auth.sso_provider_removed"

    provider_id: str
    sessions: int


class SamlAssertionReplayed(Event, frozen=True):
    """An assertion came a second time and was refused: somebody else has it."""

    name: ClassVar[str] = "auth.saml_assertion_replayed"

    provider_id: str
    assertion_id: str
    address: str | None = None


SSO_EVENTS: Final[tuple[type[Event], ...]] = (
    SsoProviderAdded,
    SsoProviderChanged,
    SsoProviderRemoved,
    SamlAssertionReplayed,
)

SSO_ACTIONS: Final[dict[type[Event], tuple[str, str]]] = {
    SsoProviderAdded: ("sso_provider_added", "team"),
    SsoProviderChanged: ("sso_provider_changed", "team"),
    SsoProviderRemoved: ("sso_provider_removed", "team"),
    SamlAssertionReplayed: ("token_revoked", "token"),
}
"""Their entries in the audit log."""
