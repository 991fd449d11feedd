"""What happened to webhooks. Single deliveries are no events: their log tells of them."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class WebhookEndpointCreated(Event, frozen=True):
    """An endpoint is told of events from now on."""

    name: ClassVar[str] = "webhooks.endpoint_created"

    endpoint_id: str
    endpoint_name: str
    url: str
    events: tuple[str, ...]
    tables: tuple[str, ...] = ()


class WebhookEndpointUpdated(Event, frozen=True):
    """An endpoint is another, or enabled or disabled by somebody; ``fields`` were changed."""

    name: ClassVar[str] = "webhooks.endpoint_updated"

    endpoint_id: str
    endpoint_name: str
    fields: tuple[str, ...]
    url: str
    events: tuple[str, ...]
    tables: tuple[str, ...]
    is_enabled: bool


class WebhookEndpointDeleted(Event, frozen=True):
    """An endpoint is gone with its log."""

    name: ClassVar[str] = "webhooks.endpoint_deleted"

    endpoint_id: str
    endpoint_name: str
    url: str


class WebhookEndpointDisabled(Event, frozen=True):
    """An endpoint was disabled by itself: it answered 410, or failed for too long without a break.

    ``reason`` is ``gone`` or ``failing``; ``dead_letters`` deliveries that waited were given up.
    """

    name: ClassVar[str] = "webhooks.endpoint_disabled"

    endpoint_id: str
    endpoint_name: str
    url: str
    reason: str
    owner_id: str | None
    dead_letters: int


class WebhookSecretRotated(Event, frozen=True):
    """An endpoint has a further secret; those before it hold until ``overlap_hours`` have passed."""

    name: ClassVar[str] = "webhooks.secret_rotated"

    endpoint_id: str
    secret_id: str
    overlap_hours: float


class WebhookSecretDeleted(Event, frozen=True):
    """A secret of an endpoint holds no more."""

    name: ClassVar[str] = "webhooks.secret_deleted"

    endpoint_id: str
    secret_id: str


class WebhookDeliveriesReplayed(Event, frozen=True):
    """Somebody had deliveries made again."""

    name: ClassVar[str] = "webhooks.deliveries_replayed"

    endpoint_id: str | None
    deliveries: int
    delivery_id: str | None = None
    event: str | None = None
    state: str | None = None
    since: str | None = None
    until: str | None = None


WEBHOOK_EVENTS: Final = (
    WebhookEndpointCreated,
    WebhookEndpointUpdated,
    WebhookEndpointDeleted,
    WebhookEndpointDisabled,
    WebhookSecretRotated,
    WebhookSecretDeleted,
    WebhookDeliveriesReplayed,
)
