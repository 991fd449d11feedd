"""How the kernel's own gauges are read: the pools, the server, Redis, workers, queues and the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from monohull.kernel import core_metrics as core
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.feed_reader import reader_lags
from monohull.kernel.outbox import outbox_lag_seconds
from monohull.kernel.redis_connection import server_infos

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis.asyncio import Redis

    from monohull.kernel.database.engine import Database
    from monohull.kernel.health import Health
    from monohull.kernel.queues import Queues
    from monohull.kernel.scrape import Values

HEALTH_TIMEOUT_SECONDS: Final = 3.0
"""Longer than the checks have themselves, so that the one that gets no answer is told of as well."""

_SERVER: Final = """
    select
        (select sum(numbackends) from pg_stat_database)::float8 as connections,
        current_setting('max_connections')::float8 as max_connections,
        deadlocks::float8, xact_rollback::float8, xact_commit::float8, blks_read::float8, blks_hit::float8
    from pg_stat_database where datname = current_database()
"""
SERVER_METRICS: Final = (
    core.SERVER_CONNECTIONS,
    core.SERVER_MAX_CONNECTIONS,
    core.DEADLOCKS,
    core.ROLLBACKS,
    core.COMMITS,
    core.BLOCKS_READ,
    core.BLOCKS_HIT,
)
REDIS_METRICS: Final = (
    core.REDIS_PING,
    core.REDIS_COMMANDS,
    core.REDIS_COMMAND_SECONDS,
    core.REDIS_MEMORY,
    core.REDIS_MAX_MEMORY,
    core.REDIS_CLIENTS,
    core.REDIS_EVICTED,
)
_SECTIONS: Final = ("memory", "clients", "stats", "commandstats")
_MICROSECONDS: Final = 1_000_000


def sample_runtime(runtime: Any) -> None:
    """Say how the numbers of a `Runtime` are read, which stands above this file."""
    metrics, data = runtime.metrics, runtime.data
    metrics.sample(core.POOL_IN_USE, lambda: data.in_use)
    metrics.sample(core.POOL_WAITING, lambda: data.waiting)
    metrics.sample(core.POOL_SIZE, lambda: data.size)
    metrics.sample(core.REQUESTS_IN_FLIGHT, lambda: runtime.lifecycle.in_flight)
    metrics.sample(core.GRANTS_REMEMBERED, lambda: len(runtime.grants))
    metrics.sample(core.GRANTS_LOOKUPS, lambda: runtime.grants.lookups)
    metrics.sample(core.GRANTS_EPOCHS, lambda: runtime.grants.epoch)
    metrics.sample_each(core.REFUSALS, lambda: runtime.limits.refused)
    if (exporter := runtime.tracing.exporter) is not None:
        metrics.sample(core.SPANS_EXPORTED, lambda: exporter.exported)
        metrics.sample_each(core.SPANS_DROPPED, lambda: exporter.dropped)
        metrics.sample(core.SPANS_WAITING, lambda: len(exporter))
    metrics.on_scrape(core.QUEUE_DEPTH, runtime.queues.depth)
    metrics.on_scrape(core.WORKERS, lambda: _workers(runtime.queues))
    metrics.on_scrape(core.OUTBOX_LAG, lambda: outbox_lag_seconds(runtime.database))
    metrics.on_scrape_values(
        (core.FEED_LAG_EVENTS, core.FEED_LAG_SECONDS), lambda: _feed_lags(runtime.database)
    )
    metrics.on_scrape_each(
        core.HEALTH_CHECK, lambda: _checks(runtime.health), timeout_seconds=HEALTH_TIMEOUT_SECONDS
    )
    metrics.on_scrape_all(SERVER_METRICS, lambda: _server(runtime.database))
    metrics.on_scrape_all(REDIS_METRICS, lambda: read_redis(runtime.redis))


async def _workers(queues: Queues) -> float:
    return float(len(await queues.workers()))


async def _checks(health: Health) -> Mapping[str, float]:
    return {name: float(result.ok) for name, result in (await health.run()).items()}


async def _feed_lags(database: Database) -> Mapping[str, Values]:
    lags = await reader_lags(database)
    return {
        core.FEED_LAG_EVENTS.name: {(lag.name,): float(lag.events) for lag in lags},
        core.FEED_LAG_SECONDS.name: {(lag.name,): lag.oldest_seconds for lag in lags},
    }


async def _server(database: Database) -> Iterable[float]:
    row = await database.run(_SERVER)
    return () if row is None else row.values()


async def read_redis(redis: Redis) -> Iterable[float]:
    """Return what Redis says of itself, in the order of `REDIS_METRICS`; of a cluster, of all primaries."""
    began = monotonic_seconds()
    await redis.ping()
    seconds = monotonic_seconds() - began
    nodes = await server_infos(redis, *_SECTIONS)
    return seconds, *(sum(values) for values in zip(*map(_of_node, nodes), strict=True))


def _of_node(info: Mapping[str, Any]) -> tuple[float, ...]:
    commands = [value for name, value in info.items() if name.startswith("cmdstat_")]
    return (
        sum(command["calls"] for command in commands),
        sum(command["usec"] for command in commands) / _MICROSECONDS,
        info["used_memory"],
        info["maxmemory"],
        info["connected_clients"],
        info["evicted_keys"],
    )
