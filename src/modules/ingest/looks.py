"""Numbers about sources, and what ``monohull doctor`` looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.ingest import metrics
from modules.ingest.observations import MessageSetAside, MessagesTaken, SourceFailed
from monohull.kernel.diagnosis import Diagnosis
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from monohull.kernel.database.engine import Database
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observation, Reader
    from monohull.kernel.runtime import Runtime

_LAG: Final = """
    select id::text as source, lag::float8 as value from monohull.ingest_sources
    where not is_paused and lag is not null
"""
_LETTERS: Final = """
    select source_id::text as source, count(*)::float8 as value from monohull.ingest_letters
    where state = 'dead' group by source_id
"""
_FAILING: Final = """
    select name, last_error from monohull.ingest_sources
    where not is_paused and failing_since < now() - interval '1 minute' order by failing_since limit 1
"""
_DEAD: Final = "select count(*) from monohull.ingest_letters where state = 'dead'"


def sampled(runtime: Runtime) -> None:
    """Say how the gauges of sources are read."""
    database = runtime.database
    runtime.metrics.on_scrape_each(metrics.LAG_MESSAGES, lambda: _by_source(database, _LAG))
    runtime.metrics.on_scrape_each(metrics.DEAD_LETTERS, lambda: _by_source(database, _LETTERS))


async def _by_source(database: Database, query: str) -> dict[str, float]:
    try:
        async with database.connected() as connection:
            rows = await connection.exec_driver_sql(query)
            return {row.source: row.value for row in rows}
    except Problem:
        return {}


def ingest_metrics(of: Metrics) -> Reader:
    """Return the reader that counts messages and failures."""
    counted, failed = of.counter(metrics.MESSAGES), of.counter(metrics.FAILURES)

    def read(observation: Observation) -> None:
        if isinstance(observation, MessagesTaken):
            counted.labels(observation.source_id, "taken").inc(observation.taken)
            counted.labels(observation.source_id, "duplicate").inc(observation.duplicates)
        elif isinstance(observation, MessageSetAside):
            counted.labels(observation.source_id, observation.state).inc()
        elif isinstance(observation, SourceFailed):
            failed.labels(observation.source_id).inc()

    return read


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether sources can be read, and whether messages were given up."""
    async with runtime.database.connection() as connection:
        failing = await connection.fetchrow(_FAILING)
        dead = await connection.fetchval(_DEAD)
    if failing is not None:
        return Diagnosis("ingest", "wrong", f"the source {failing['name']} fails: {failing['last_error']}")
    if dead:
        message = f"{dead} messages are dead letters; see /platform/v1/ingest/letters"
        return Diagnosis("ingest", "advice", message)
    return Diagnosis("ingest", "ok", "messages are taken")
