"""What may be done with queues; who sends and reads is decided by rights on their tables."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_QUEUES: Final = Permission("queues.queues:read", "See queues and how much waits in them.")
WRITE_QUEUES: Final = Permission("queues.queues:write", "Make queues.")
DELETE_QUEUES: Final = Permission("queues.queues:delete", "Empty queues and drop them.")

PERMISSIONS: Final = (READ_QUEUES, WRITE_QUEUES, DELETE_QUEUES)
