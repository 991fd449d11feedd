"""What is read when somebody scrapes: the state of the instance, told by the process that is asked.

It never goes through the files that processes share. There what one process said last would stand for
ever, for a queue that is gone too; here what cannot be read, or is gone, is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

    from monohull.kernel.metric import Metric

SCRAPE_TIMEOUT_SECONDS: Final = 1.0

Number: TypeAlias = float | None
Values: TypeAlias = Mapping[tuple[str, ...], float]
"""By the values of the labels."""


class Reading(Struct, frozen=True):
    """Something to read for one or several metrics.

    Attributes:
        metrics: What it gives.
        read: Returns values by the name of the metric; one that it leaves out is not shown.
        timeout_seconds: When it counts as away.
    """

    metrics: tuple[Metric, ...]
    read: Callable[[], Awaitable[Mapping[str, Values]]]
    timeout_seconds: float = SCRAPE_TIMEOUT_SECONDS


class Scrape(Collector):
    """All readings of a process, and what they gave the last time."""

    def __init__(self) -> None:
        self._readings: list[Reading] = []
        self._values: dict[str, Values] = {}

    def add(self, reading: Reading) -> None:
        self._readings.append(reading)

    async def take(self) -> None:
        """Read everything at the same time."""
        found = await asyncio.gather(*(_values(reading) for reading in self._readings))
        self._values = {name: values for each in found for name, values in each.items()}

    def collect(self) -> Iterable[Family]:
        """Give what was read to whoever writes it down."""
        return list(self._families())

    def _families(self) -> Iterator[Family]:
        for metric in (metric for reading in self._readings for metric in reading.metrics):
            shape = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = shape(metric.name, metric.meaning, labels=metric.labels)
            for labels, value in self._values.get(metric.name, {}).items():
                family.add_metric(labels, value)
            yield family


async def _values(reading: Reading) -> Mapping[str, Values]:
    try:
        async with asyncio.timeout(reading.timeout_seconds):
            return await reading.read()
    except Exception:  # noqa: BLE001 a dependency that is away must not take /metrics with it
        return {}
