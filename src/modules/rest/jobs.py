"""What the worker does for the data API: it forgets answers that are not given again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from monohull.kernel.queues import Cron, job

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime

PURGE_BATCH: Final = 1000

_PURGE: Final = text(
    """
    delete from monohull.idempotent_answers as kept using (
        select owner, key from monohull.idempotent_answers
        where expires_at < now()
        order by expires_at limit :batch for update skip locked
    ) as old
    where kept.owner = old.owner and kept.key = old.key
    """
)


@job("rest.purge_answers", max_attempts=3, timeout_seconds=600)
async def purge_answers(runtime: Runtime) -> None:
    """Delete answers that were kept for an Idempotency-Key and are past their time, in small batches."""
    deleted = PURGE_BATCH
    while deleted == PURGE_BATCH:
        async with runtime.database.unit_of_work() as session:
            result = await session.execute(_PURGE, {"batch": PURGE_BATCH})
            deleted = result.rowcount  # type: ignore[attr-defined]  # a DELETE's result has it


CRONS: Final = (Cron(job=purge_answers, schedule="29 * * * *"),)
