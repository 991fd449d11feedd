"""Requests are counted in plain memory and carried forward when somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monohull.kernel.metrics import LATENCY_BUCKETS_SECONDS, Metrics
from monohull.kernel.observation import RequestFinished

if TYPE_CHECKING:
    from collections.abc import Sequence


def finished(seconds: float, *, status: int = 200, route: str = "/rest/v1/{relation}") -> RequestFinished:
    return RequestFinished(
        request_id="r",
        trace_id="t",
        method="GET",
        route=route,
        status=status,
        duration_seconds=seconds,
        principal="user",
        response_bytes=1,
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize("durations", [(0.0,), (0.001,), (0.0011, 0.3, 0.3), (10.0, 10.1, 99.0)])
def test_a_tally_is_what_the_library_would_have_counted(durations: Sequence[float]) -> None:
    mine, theirs = Metrics("api"), Metrics("api")
    for seconds in durations:
        mine.read(finished(seconds))
        theirs._latency.labels("GET", "/rest/v1/{relation}").observe(seconds)
    mine.carry_forward()
    name = "monohull_http_request_duration_seconds"
    labels = {"method": "GET", "route": "/rest/v1/{relation}"}
    for bound in (*LATENCY_BUCKETS_SECONDS, "+Inf"):
        bucket = {**labels, "le": str(bound)}
        assert value(mine, f"{name}_bucket", **bucket) == value(theirs, f"{name}_bucket", **bucket)
    assert value(mine, f"{name}_count", **labels) == len(durations)
    assert value(mine, f"{name}_sum", **labels) == pytest.approx(sum(durations))


async def test_the_exposition_has_the_last_request() -> None:
    metrics = Metrics("api")
    metrics.read(finished(0.01))
    metrics.read(finished(0.01, status=404))
    metrics.read(finished(0.01, status=404))
    text = (await metrics.exposition()).decode()
    assert 'monohull_http_requests_total{method="GET",route="/rest/v1/{relation}",status="404"} 2.0' in text
    metrics.read(finished(0.01))
    text = (await metrics.exposition()).decode()
    assert 'monohull_http_requests_total{method="GET",route="/rest/v1/{relation}",status="200"} 2.0' in text


async def test_the_end_of_sampling_carries_the_rest_forward() -> None:
    metrics = Metrics("api")
    async with metrics.sampling():
        metrics.read(finished(0.01, route="/x"))
    assert value(metrics, "monohull_http_requests_total", method="GET", route="/x", status="200") == 1
