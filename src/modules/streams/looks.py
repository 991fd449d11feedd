"""Numbers about sinks, and what ``monohull doctor`` looks at; their lag is measured as every reader's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from modules.streams import metrics
from modules.streams.observations import SinkFailed, SinkTook
from monohull.kernel.diagnosis import Diagnosis

if TYPE_CHECKING:
    from monohull.kernel.database.engine import Database
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observation, Reader
    from monohull.kernel.runtime import Runtime

LATE_SECONDS: Final = 300.0

_FAILURES: Final = text(
    "select id::text as id, consecutive_failures as failures from monohull.stream_sinks where not is_paused"
)
_STANDING: Final = """
    select s.name, s.consecutive_failures as failures, s.last_error,
        coalesce(extract(epoch from now() - s.failing_since), 0)::float8 as failing_seconds,
        coalesce(extract(epoch from now() - oldest.relayed_at), 0)::float8 as late_seconds
    from monohull.stream_sinks as s
    join monohull.feed_readers as r on r.name = 'streams.' || s.id
    left join lateral (
        select relayed_at from monohull.outbox where sequence > r.sequence order by sequence limit 1
    ) as oldest on true
    where not s.is_paused
    order by s.name
"""


def sampled(runtime: Runtime) -> None:
    """Say how the gauge of failures in a row is read."""
    runtime.metrics.on_scrape_each(metrics.SINK_FAILURES, lambda: _failures(runtime.database))


async def _failures(database: Database) -> dict[str, float]:
    async with database.connected() as connection:
        return {row.id: float(row.failures) for row in await connection.execute(_FAILURES)}


def sink_metrics(of: Metrics) -> Reader:
    """Return the reader that counts what sinks took and how often they failed."""
    took, failed = of.counter(metrics.EVENTS), of.counter(metrics.FAILURES)
    latency: Any = of.histogram(metrics.BATCH_SECONDS)

    def read(observation: Observation) -> None:
        if isinstance(observation, SinkTook):
            took.labels(observation.sink_id).inc(observation.events)
            latency.observe(observation.duration_seconds)
        elif isinstance(observation, SinkFailed):
            failed.labels(observation.sink_id).inc()

    return read


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether sinks take events, and whether somebody carries them."""
    async with runtime.database.connection() as connection:
        rows = await connection.fetch(_STANDING)
    for row in rows:
        if row["failures"] and row["failing_seconds"] > LATE_SECONDS:
            seconds, error = row["failing_seconds"], row["last_error"]
            message = f"the sink {row['name']} takes no events for {seconds:.0f} s: {error}"
            return Diagnosis("streams", "wrong", message)
    late = max((row["late_seconds"] for row in rows if not row["failures"]), default=0.0)
    if late > LATE_SECONDS:
        message = (
            f"events wait for sinks for {late:.0f} s; is a worker running? start one with `monohull worker`"
        )
        return Diagnosis("streams", "wrong", message)
    return Diagnosis("streams", "ok", f"{len(rows)} sinks take events" if rows else "there are no sinks")
