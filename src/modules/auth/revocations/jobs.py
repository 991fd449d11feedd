"""Forget what no token can be older than."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.auth.revocations.repository import RevocationRepository
from monohull.kernel.queues import job

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime

RETENTION_SECONDS: Final = 8 * 86_400
"""Longer than any access token may live by ``MONOHULL_AUTH_JWT_EXP``."""

BATCH: Final = 5000


@job("auth.prune_revocations", max_attempts=3, timeout_seconds=600)
async def prune_revocations(runtime: Runtime) -> None:
    """Delete old entries, in batches that each lock little and briefly."""
    deleted = BATCH
    while deleted == BATCH:
        async with runtime.database.unit_of_work() as work:
            deleted = await RevocationRepository(work).prune(RETENTION_SECONDS, BATCH)
