"""What this module's guards ask for."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_KEYS: Final = Permission("api_keys.keys:read", "See which API keys exist.")
WRITE_KEYS: Final = Permission("api_keys.keys:write", "Create, change, rotate and revoke API keys.")
CHOOSE_OWNER: Final = Permission(
    "api_keys.owners:choose", "Create and rotate API keys that act as another user."
)

PERMISSIONS: Final = (READ_KEYS, WRITE_KEYS, CHOOSE_OWNER)
