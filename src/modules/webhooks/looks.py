"""Numbers about webhooks, and what ``monohull doctor`` looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from modules.webhooks import metrics
from modules.webhooks.fanout import READER
from modules.webhooks.observations import WebhookAttempted
from monohull.kernel.diagnosis import Diagnosis
from monohull.kernel.feed_reader import reader_lags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from monohull.kernel.database.engine import Database
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observation, Reader
    from monohull.kernel.runtime import Runtime

LATE_SECONDS: Final = 300.0

_WAITING: Final = """
    select count(*)::float8 as deliveries,
        greatest(extract(epoch from now() - min(d.created_at)), 0)::float8 as oldest_seconds,
        (
            select count(*)::float8 from monohull.webhook_endpoints
            where not is_enabled and disabled_reason <> 'by_hand'
        ) as disabled
    from monohull.webhook_deliveries as d where d.state in ('pending', 'sending')
"""
# what a rate or an earlier one of its key holds up waits as it should
OVERDUE: Final = """
    select coalesce(extract(epoch from now() - min(d.due_at)), 0)::float8 as seconds
    from monohull.webhook_deliveries as d join monohull.webhook_endpoints as e on e.id = d.endpoint_id
    where d.state in ('pending', 'sending') and e.is_enabled and e.consecutive_failures < e.breaker_failures
        and e.rate_per_second is null
        and (d.order_key is null or not exists (
            select from monohull.webhook_deliveries as earlier
            where earlier.endpoint_id = d.endpoint_id and earlier.order_key = d.order_key
                and earlier.state in ('pending', 'sending') and earlier.position < d.position
        ))
"""
_DISABLED: Final = """
    select count(*) from monohull.webhook_endpoints where not is_enabled and disabled_reason <> 'by_hand'
"""

_LETTERS: Final = """
    select count(*) from monohull.webhook_deliveries
    where state = 'dead' and finished_at > now() - interval '1 day'
"""
_OPEN: Final = """
    select name from monohull.webhook_endpoints
    where is_enabled and consecutive_failures >= breaker_failures order by name limit 5
"""
_PROBLEMS: Final = """
    select e.name, w.relation::text as relation, w.problem
    from monohull.row_watches as w
    join monohull.webhook_endpoints as e on w.watcher = 'webhooks:' || e.id
    where w.problem is not null order by e.name, 2
"""


def sampled(runtime: Runtime) -> None:
    """Say how the gauges of what waits are read."""
    runtime.metrics.on_scrape_all(
        (metrics.WAITING, metrics.OLDEST_SECONDS, metrics.DISABLED), lambda: _waiting(runtime.database)
    )


async def _waiting(database: Database) -> Iterable[float]:
    row = await database.run(_WAITING)
    return () if row is None else row.values()


def webhook_metrics(of: Metrics) -> Reader:
    """Return the reader that counts attempts."""
    counted, latency = of.counter(metrics.ATTEMPTS), of.histogram(metrics.ATTEMPT_SECONDS)

    def read(observation: Observation) -> None:
        if isinstance(observation, WebhookAttempted):
            state = "retried" if observation.state == "pending" else observation.state
            counted.labels(observation.endpoint_id, state).inc()
            latency.observe(observation.duration_seconds)

    return read


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether deliveries are made in time, and which endpoints are not told all that they should be."""
    async with runtime.database.connection() as connection:
        late = await connection.fetchval(OVERDUE)
        disabled = await connection.fetchval(_DISABLED)
        letters = await connection.fetchval(_LETTERS)
        open_ = [row["name"] for row in await connection.fetch(_OPEN)]
        problems = await connection.fetch(_PROBLEMS)
    lags = {lag.name: lag.oldest_seconds for lag in await reader_lags(runtime.database)}
    behind = lags.get(READER, 0.0)
    if late > LATE_SECONDS:
        message = (
            f"deliveries are due for {late:.0f} s; is a worker running? start one with `monohull worker`"
        )
        return Diagnosis("webhooks", "wrong", message)
    if behind > LATE_SECONDS:
        message = (
            f"events of {behind:.0f} s ago have no deliveries yet; is a worker running? start one with "
            f"`monohull worker`, and see its log for `{READER}`"
        )
        return Diagnosis("webhooks", "wrong", message)
    if problems:
        [first, *_] = problems
        message = (
            f"{len(problems)} watched tables cannot be asked as an endpoint wishes; {first['relation']} for "
            f"{first['name']}: {first['problem']}. Its events come without the condition's choice; change "
            "the endpoint's rows"
        )
        return Diagnosis("webhooks", "wrong", message)
    return Diagnosis("webhooks", *_what_failed(disabled, open_, letters))


def _what_failed(disabled: int, open_: Sequence[str], letters: int) -> tuple[Literal["ok", "advice"], str]:
    if disabled:
        return (
            "advice",
            f"{disabled} endpoints were disabled because they failed; see `monohull webhooks list`",
        )
    if open_:
        return "advice", f"these endpoints fail, and are tried now and then: {', '.join(open_)}"
    if letters:
        return "advice", (
            f"{letters} deliveries were given up within a day; see them with "
            "`GET /platform/v1/webhooks/deliveries?state=dead`, and send them again with `POST …/replays`"
        )
    return "ok", "deliveries are made in time"
