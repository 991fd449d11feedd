"""What may be done with sinks. Whoever makes one sends what happens here to a server of their choice.

No address is refused: brokers stand in private networks. So the roles that come with the product give
``streams.sinks:write`` to owners and administrators alone.
"""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_SINKS: Final = Permission("streams.sinks:read", "See the sinks of events and how far they are behind.")
WRITE_SINKS: Final = Permission(
    "streams.sinks:write",
    "Make, change, test, rewind and delete sinks, which send any event to any server, private networks "
    "included.",
)
WRITE_ROWS: Final = Permission(
    "streams.rows:write", "Have rows of any table told to sinks, and change sinks that are told of rows."
)
WRITE_CONDITIONS: Final = Permission(
    "streams.conditions:write",
    "Have rows told under conditions in SQL, which run with the rights of the owner of the platform's "
    "schema: as good as running SQL as that owner.",
)

PERMISSIONS: Final = (READ_SINKS, WRITE_SINKS, WRITE_ROWS, WRITE_CONDITIONS)
