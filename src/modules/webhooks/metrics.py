"""What webhooks count and show."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import counter, gauge, histogram

WAITING: Final = gauge("monohull_webhooks_waiting", "Deliveries to webhooks that wait or are on their way.")
OLDEST_SECONDS: Final = gauge("monohull_webhooks_oldest_seconds", "Age of the oldest of them.")
DISABLED: Final = gauge(
    "monohull_webhooks_disabled_endpoints", "Endpoints that were disabled because they failed."
)
ATTEMPTS: Final = counter(
    "monohull_webhooks_attempts_total",
    "Requests to webhooks by endpoint and what became of the delivery.",
    "endpoint",
    "state",
)
ATTEMPT_SECONDS: Final = histogram("monohull_webhooks_duration_seconds", "Time of requests to webhooks.")

METRICS: Final = (WAITING, OLDEST_SECONDS, DISABLED, ATTEMPTS, ATTEMPT_SECONDS)
