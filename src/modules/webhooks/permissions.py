"""What may be done with webhooks. Whoever makes one gets every event it matches, wherever the URL leads."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_ENDPOINTS: Final = Permission("webhooks.endpoints:read", "See the endpoints of webhooks.")
WRITE_ENDPOINTS: Final = Permission(
    "webhooks.endpoints:write",
    "Make, change, test and delete endpoints of webhooks and rotate their secrets; an endpoint gets the "
    "events and rows it asks for.",
)
READ_DELIVERIES: Final = Permission(
    "webhooks.deliveries:read", "See what was delivered to webhooks, with the events and the answers."
)
REPLAY_DELIVERIES: Final = Permission("webhooks.deliveries:replay", "Deliver to webhooks again.")

PERMISSIONS: Final = (READ_ENDPOINTS, WRITE_ENDPOINTS, READ_DELIVERIES, REPLAY_DELIVERIES)
