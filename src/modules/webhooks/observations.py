"""What the dispatcher notices, for log and metrics."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.observation import Level, Observation


class WebhookAttempted(Observation, frozen=True, kw_only=True):
    """A request to an endpoint is over; ``state`` is the delivery's from now on."""

    event: ClassVar[str] = "webhooks.attempted"
    level: ClassVar[Level] = "debug"

    endpoint_id: str
    delivery_id: str
    event_id: str
    attempt: int
    state: str
    status: int | None
    reason: str | None
    duration_seconds: float
    request_id: str | None
    trace_id: str | None = None


class WebhookDead(Observation, frozen=True, kw_only=True):
    """A delivery was given up; it can be replayed."""

    event: ClassVar[str] = "webhooks.dead"
    level: ClassVar[Level] = "warning"

    endpoint_id: str
    delivery_id: str
    event_id: str
    attempts: int
    reason: str | None
    request_id: str | None
    trace_id: str | None = None


class WebhooksStalled(Observation, frozen=True, kw_only=True):
    """The dispatcher could not go on, mostly because the database is away; it tries again in a second."""

    event: ClassVar[str] = "webhooks.stalled"
    level: ClassVar[Level] = "warning"

    reason: str
