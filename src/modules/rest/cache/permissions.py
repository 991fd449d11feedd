"""What may be done with cached tables."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_CACHE: Final = Permission("rest.cache:read", "See which tables are cached, and for whom.")
WRITE_CACHE: Final = Permission("rest.cache:write", "Have answers about a table cached, or no more.")

PERMISSIONS: Final = (READ_CACHE, WRITE_CACHE)
