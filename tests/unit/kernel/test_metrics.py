"""Counting, sampling, and what is left of processes that are gone."""

from __future__ import annotations

import asyncio
import math
import os
import re
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.metric import MetricError, counter, gauge
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
    from collections.abc import Callable
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


AWAY, NONE, FIVE = (gauge(f"monohull_test_{name}", "A gauge.") for name in ("away", "none", "five"))
EACH = gauge("monohull_test_each", "One for each.", "thing")
PAIR = (gauge("monohull_test_first", "The first."), counter("monohull_test_next_total", "The second."))
FOLLOWED = counter("monohull_test_followed_total", "Followed.", "process")
KINDS = counter("monohull_test_kinds_total", "Followed by kind.", "kind")
DECLARED = (AWAY, NONE, FIVE, EACH, *PAIR, FOLLOWED, KINDS)


async def test_a_gauge_that_cannot_be_read_takes_nothing_with_it() -> None:
    metrics = Metrics("api", DECLARED)

    async def away() -> float | None:
        raise OSError

    async def none() -> float | None:
        return None

    async def five() -> float | None:
        return 5

    metrics.on_scrape(AWAY, away)
    metrics.on_scrape(NONE, none)
    metrics.on_scrape(FIVE, five)
    text = await text_of(metrics)
    assert "# TYPE monohull_test_away gauge" in text
    assert re.findall("^monohull_test.*", text, re.MULTILINE) == ["monohull_test_five 5.0"]


async def test_what_is_gone_is_left_out() -> None:
    metrics = Metrics("api", DECLARED)
    things = {"a": 1.0, "b": 2.0}

    async def each() -> dict[str, float]:
        return things

    async def pair() -> tuple[float, float]:
        return 3.0, 4.0

    metrics.on_scrape_each(EACH, each)
    metrics.on_scrape_all(PAIR, pair)
    assert 'monohull_test_each{thing="b"} 2.0' in await text_of(metrics)
    del things["b"]
    text = await text_of(metrics)
    assert 'monohull_test_each{thing="a"} 1.0' in text
    assert 'thing="b"' not in text
    assert "monohull_test_first 3.0" in text
    assert "# TYPE monohull_test_next_total counter\nmonohull_test_next_total 4.0" in text


async def test_a_reading_that_takes_too_long_is_left_out() -> None:
    metrics = Metrics("api", DECLARED)

    async def never() -> dict[str, float]:
        await asyncio.Event().wait()
        return {}

    metrics.on_scrape_each(EACH, never, timeout_seconds=0.01)
    assert "monohull_test_each{" not in await text_of(metrics)


async def test_what_was_counted_elsewhere_is_followed() -> None:
    metrics = Metrics("worker", DECLARED)
    counted, kinds = 7.0, {"x": 2.0}
    metrics.sample(FOLLOWED, lambda: counted)
    metrics.sample_each(KINDS, lambda: kinds)
    assert 'monohull_test_followed_total{process="worker"} 7.0' in await text_of(metrics)
    counted, kinds = 9.0, {"x": 2.0, "y": 1.0}
    text = await text_of(metrics)
    assert 'monohull_test_followed_total{process="worker"} 9.0' in text
    assert 'monohull_test_kinds_total{kind="x"} 2.0' in text
    assert 'monohull_test_kinds_total{kind="y"} 1.0' in text


def test_a_counter_is_used_as_often_as_one_likes() -> None:
    metrics = Metrics("api", DECLARED)
    assert metrics.counter(KINDS) is metrics.counter(KINDS)


async def nothing() -> float | None:
    return None


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda metrics: metrics.counter(counter("monohull_other_total", "Other.")), "not in the catalogue"),
        (lambda metrics: metrics.counter(counter(KINDS.name, "Other.", "kind")), "not in the catalogue"),
        (lambda metrics: metrics.on_scrape(gauge("monohull_other", "Other."), nothing), "not in the catalo"),
        (lambda metrics: metrics.counter(FIVE), "is a gauge and is used as a counter"),
        (lambda metrics: metrics.histogram(KINDS), "is a counter and is used as a histogram"),
        (lambda metrics: metrics.sample(FIVE, float), "its one label is 'process'"),
    ],
    ids=["unknown", "changed", "unknown gauge", "no counter", "no histogram", "not of a process"],
)
def test_what_is_not_declared_is_refused(use: Callable[[Metrics], object], says: str) -> None:
    with pytest.raises(MetricError, match=says):
        use(Metrics("api", DECLARED))


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
