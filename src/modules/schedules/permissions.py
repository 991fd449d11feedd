"""What may be done with schedules."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_SCHEDULES: Final = Permission("schedules.schedules:read", "See schedules and what became of their runs.")
WRITE_SCHEDULES: Final = Permission(
    "schedules.schedules:write", "Make, change, pause, resume and delete schedules."
)
RUN_SCHEDULES: Final = Permission("schedules.schedules:run", "Have a schedule run now.")

PERMISSIONS: Final = (READ_SCHEDULES, WRITE_SCHEDULES, RUN_SCHEDULES)
