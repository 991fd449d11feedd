"""What the platform API's guards ask for."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_STATUS: Final = Permission(
    "platform.status:read", "See versions, modules, permissions and state of the instance."
)
