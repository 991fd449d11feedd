"""What the worker does for the log by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.audit.services import AuditLog
from monohull.kernel.queues import Cron, job

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


@job("audit.keep", max_attempts=2, timeout_seconds=600)
async def keep(runtime: Runtime) -> None:
    """Make the next months, let old ones go, and sign the end of the chain when it is time."""
    await AuditLog(runtime.database, runtime.settings).keep()


CRONS: Final = (Cron(job=keep, schedule="* * * * *"),)
