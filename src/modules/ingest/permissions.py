"""What may be done with sources. No address is refused: brokers stand in private networks.

So the roles that come with the product give ``ingest.sources:write`` to owners and administrators alone.
"""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_SOURCES: Final = Permission("ingest.sources:read", "See the sources of messages and how they stand.")
WRITE_SOURCES: Final = Permission(
    "ingest.sources:write",
    "Make, change, pause and delete sources of messages, which connect to any server, private networks "
    "included, and have jobs run.",
)
WRITE_TABLES: Final = Permission(
    "ingest.tables:write",
    "Have messages put into tables with the rights of any database role of the API, and change such sources.",
)
READ_LETTERS: Final = Permission(
    "ingest.letters:read", "See messages that were set aside, with their bodies."
)
REPLAY_LETTERS: Final = Permission("ingest.letters:replay", "Have dead letters tried again, or discard them.")

PERMISSIONS: Final = (READ_SOURCES, WRITE_SOURCES, WRITE_TABLES, READ_LETTERS, REPLAY_LETTERS)
