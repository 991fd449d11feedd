"""Counting, sampling, and what is left of processes that are gone."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from monohull.kernel.metrics import (
    Metrics,
    cpu_seconds,
    forget_the_dead,
    is_alive,
    open_files,
    resident_bytes,
)
from monohull.kernel.observation import (
    DependencyBack,
    DependencyLost,
    RequestFailed,
    RequestFinished,
    SchemaChecked,
)

if TYPE_CHECKING:
    from pathlib import Path


async def text_of(metrics: Metrics) -> str:
    return (await metrics.exposition()).decode()


async def test_observations_are_counted() -> None:
    metrics = Metrics("api")
    for status in (200, 200, 503):
        metrics.read(
            RequestFinished(
                request_id="r",
                trace_id="t",
                method="GET",
                route="/x/{id}",
                status=status,
                duration_seconds=0.004,
                principal="user",
                response_bytes=1,
            )
        )
    metrics.read(RequestFailed(request_id="r", route="/x/{id}", error="e", stack="s"))
    metrics.read(DependencyLost(name="redis", reason="refused"))
    metrics.read(DependencyBack(name="redis", seconds=1.0))
    metrics.read(SchemaChecked(state="pending", advice="migrate"))
    text = await text_of(metrics)
    assert 'monohull_http_requests_total{method="GET",route="/x/{id}",status="200"} 2.0' in text
    assert 'monohull_http_requests_total{method="GET",route="/x/{id}",status="503"} 1.0' in text
    assert (
        'monohull_http_request_duration_seconds_bucket{le="0.005",method="GET",route="/x/{id}"} 3.0' in text
    )
    assert 'monohull_http_request_failures_total{route="/x/{id}"} 1.0' in text
    assert 'monohull_dependency_lost_total{name="redis"} 1.0' in text
    assert 'monohull_dependency_back_total{name="redis"} 1.0' in text


async def test_a_gauge_that_cannot_be_read_takes_nothing_with_it() -> None:
    metrics = Metrics("api")

    async def away() -> float | None:
        raise OSError

    async def none() -> float | None:
        return None

    async def five() -> float | None:
        return 5

    metrics.on_scrape("monohull_away", "Away.", away)
    metrics.on_scrape("monohull_none", "None.", none)
    metrics.on_scrape("monohull_five", "Five.", five)
    text = await text_of(metrics)
    assert "monohull_away NaN" in text
    assert "monohull_none NaN" in text
    assert "monohull_five 5.0" in text


def test_a_counter_is_declared_once() -> None:
    metrics = Metrics("api")
    assert metrics.counter("monohull_things", "Things.") is metrics.counter("monohull_things", "Things.")


def test_what_the_system_tells() -> None:
    assert resident_bytes() > 1_000_000
    assert cpu_seconds() > 0
    assert open_files() > 0 or math.isnan(open_files())


def test_gauges_of_the_dead_go_and_their_counters_stay(tmp_path: Path) -> None:
    dead = 2**22 + 1  # above the highest process number there can be
    assert is_alive(os.getpid())
    assert is_alive(1)
    assert not is_alive(dead)
    for name in (f"gauge_livesum_{dead}.db", f"gauge_livesum_{os.getpid()}.db", f"counter_{dead}.db"):
        (tmp_path / name).touch()
    forget_the_dead(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"gauge_livesum_{os.getpid()}.db",
        f"counter_{dead}.db",
    }
