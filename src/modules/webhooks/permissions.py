"""What may be done with webhooks. Whoever makes one gets every event it matches, wherever the URL leads."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_ENDPOINTS: Final = Permission("webhooks.endpoints:read", "See the endpoints of webhooks.")
WRITE_ENDPOINTS: Final = Permission(
    "webhooks.endpoints:write",
    "Make, change, test and delete endpoints of webhooks and rotate their secrets; an endpoint gets the "
    "events it asks for.",
)
WRITE_ROWS: Final = Permission(
    "webhooks.rows:write",
    "Have rows of any table told to webhooks, and change endpoints that are told of rows.",
)
WRITE_CONDITIONS: Final = Permission(
    "webhooks.conditions:write",
    "Have rows told under conditions in SQL, which run with the rights of the owner of the platform's "
    "schema: as good as running SQL as that owner.",
)
READ_DELIVERIES: Final = Permission(
    "webhooks.deliveries:read", "See what was delivered to webhooks, with the events and the answers."
)
REPLAY_DELIVERIES: Final = Permission("webhooks.deliveries:replay", "Deliver to webhooks again.")

PERMISSIONS: Final = (
    READ_ENDPOINTS,
    WRITE_ENDPOINTS,
    WRITE_ROWS,
    WRITE_CONDITIONS,
    READ_DELIVERIES,
    REPLAY_DELIVERIES,
)
