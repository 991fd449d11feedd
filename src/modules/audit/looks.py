"""What ``monohull doctor`` and the metrics look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.audit import metrics
from modules.audit.partitions import list_months
from modules.audit.settings import AuditSettings
from modules.audit.writer import ChainDisturbed, EntriesRecorded
from monohull.kernel import clock
from monohull.kernel.diagnosis import Diagnosis
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from monohull.kernel.database.engine import Database
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observation, Reader
    from monohull.kernel.runtime import Runtime

LATE_SECONDS: Final = 300.0

_LAG: Final = """
    select coalesce(extract(epoch from now() - min(occurred_at)), 0)::float8 as seconds
    from monohull.audit_queue
"""
_GUARDED: Final = """
    select coalesce(bool_and(tgenabled = 'A'), false)
    from pg_trigger
    where tgname = 'monohull_append_only'
        and tgrelid in (select inhrelid from pg_inherits where inhparent = 'monohull.audit_entries'::regclass)
"""


async def lag_seconds(database: Database) -> float | None:
    """Return the age of the oldest that waits to become an entry; None when the database is away."""
    try:
        row = await database.run(_LAG)
    except Problem:
        return None
    return None if row is None else max(0.0, row["seconds"])


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether the log is written, has its next month, and refuses changes."""
    async with runtime.database.connection() as connection:
        seconds = await connection.fetchval(_LAG)
        months = await list_months(connection)
        is_guarded = await connection.fetchval(_GUARDED)
    if seconds > LATE_SECONDS:
        message = f"entries wait for {seconds:.0f} s; is a worker running? start one with `monohull worker`"
        return Diagnosis("audit", "wrong", message)
    if not is_guarded:
        message = (
            "a trigger that keeps entries from being changed is missing or off; look with "
            "`monohull audit verify` and enable monohull_append_only on every partition"
        )
        return Diagnosis("audit", "wrong", message)
    if f"{clock.now():%Y_%m}" not in months:
        return Diagnosis("audit", "wrong", "the current month has no partition; is a worker running?")
    if runtime.settings.of(AuditSettings).checkpoint_folder is None:
        message = (
            "checkpoints are in the database alone: set MONOHULL_AUDIT_CHECKPOINT_FOLDER to a folder that "
            "whoever runs the database cannot change"
        )
        return Diagnosis("audit", "advice" if runtime.settings.core.is_production else "ok", message)
    return Diagnosis("audit", "ok", "entries are written, guarded, and signed outside of the database")


def audit_metrics(of: Metrics) -> Reader:
    """Return the reader that counts entries, and times the log was disturbed."""
    entries, disturbed = of.counter(metrics.ENTRIES), of.counter(metrics.DISTURBED)

    def read(observation: Observation) -> None:
        if isinstance(observation, EntriesRecorded):
            entries.inc(observation.entries)
        elif isinstance(observation, ChainDisturbed):
            disturbed.inc()

    return read
