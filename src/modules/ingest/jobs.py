"""Forget ids of messages and letters whose time is over; and which jobs messages may have run."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from modules.ingest.settings import IngestSettings
from monohull.kernel.queues import Cron, Job, job
from monohull.kernel.runtime import Runtime
from monohull.kernel.settings import BUILTIN_MODULES

PURGE_BATCH: Final = 5000

_SEEN: Final = text(
    """
    delete from monohull.ingest_seen where (source_id, message_id) in (
        select source_id, message_id from monohull.ingest_seen
        where seen_at < now() - make_interval(days => :days) order by seen_at limit :batch)
    """
)
_LETTERS: Final = text(
    """
    delete from monohull.ingest_letters where id in (
        select id from monohull.ingest_letters
        where finished_at < now() - make_interval(days => :days) order by finished_at limit :batch)
    """
)


def application_jobs(runtime: Runtime) -> dict[str, Job]:
    """Return the jobs that messages may have run: those of the application's own modules."""
    builtin = {dotted.rpartition(".")[2] for dotted in BUILTIN_MODULES}
    found = (job for module in runtime.modules if module.name not in builtin for job in module.jobs)
    return {job.name: job for job in found}


@job("ingest.purge", max_attempts=3, timeout_seconds=600)
async def purge(runtime: Runtime) -> None:
    """Delete what is past its retention, in batches that each lock little and briefly."""
    own = runtime.settings.of(IngestSettings)
    for statement, days in ((_SEEN, own.seen_days), (_LETTERS, own.letter_days)):
        deleted = PURGE_BATCH
        while deleted == PURGE_BATCH:
            async with runtime.database.unit_of_work() as work:
                result = await work.execute(statement, {"days": days, "batch": PURGE_BATCH})
                deleted = result.rowcount  # type: ignore[attr-defined]  # a DELETE's result has it


CRONS: Final = (Cron(job=purge, schedule="47 3 * * *"),)
