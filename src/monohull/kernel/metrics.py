"""Prometheus metrics: counted from observations, sampled from resources, merged over processes.

What may be counted and shown is the catalogue (`metric`): the kernel's own and
what the modules declare. With several API processes on one port a scrape
reaches any of them, so under ``monohull serve`` each process writes its numbers
to files of a common folder (``PROMETHEUS_MULTIPROC_DIR``, emptied at start) and
whoever is asked adds them up. The library reads that variable when it is first
imported, therefore the command sets it before it starts the processes.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from monohull import __version__
from monohull.kernel import core_metrics as core
from monohull.kernel.clock import monotonic_seconds, now
from monohull.kernel.core_metrics import CORE_METRICS
from monohull.kernel.database.pool import PoolWaitExpired
from monohull.kernel.metric import PROCESS, Metric, MetricError, catalogue_of
from monohull.kernel.observation import (
    DependencyBack,
    DependencyLost,
    Observation,
    RequestFailed,
    RequestFinished,
)
from monohull.kernel.scrape import SCRAPE_TIMEOUT_SECONDS, Reading, Scrape, Values
from monohull.kernel.tasks import beside

MULTIPROCESS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SAMPLE_INTERVAL_SECONDS: Final = 1.0

LATENCY_BUCKETS_SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)

_MODES: Final[Mapping[str, Literal["livesum", "livemax", "liveall"]]] = {
    "sum": "livesum",
    "max": "livemax",
    "each": "liveall",
}


class Tally:
    """Requests of one method, route and status since the numbers were last brought forward."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(LATENCY_BUCKETS_SECONDS) + 1)


Sample = Callable[[], float]
Samples = Callable[[], Mapping[str, float]]
AsyncSample = Callable[[], Awaitable[float | None]]
AsyncSamples = Callable[[], Awaitable[Mapping[str, float]]]
AsyncRow = Callable[[], Awaitable[Iterable[float]]]


class Metrics:
    """The numbers of one process.

    Args:
        process: ``api``, ``worker`` or ``cli``; label of the process' own numbers.
        declared: What the modules declare beside the kernel.

    Raises:
        MetricError: Two declare one name.
    """

    def __init__(self, process: str, declared: Iterable[Metric] = ()) -> None:
        self.registry = CollectorRegistry()
        self.catalogue = catalogue_of((*CORE_METRICS, *declared))
        self._process = process
        self._samples: list[Callable[[], None]] = []
        self._scrape = Scrape()
        self._scraped = CollectorRegistry()
        self._scraped.register(self._scrape)
        self._used: dict[str, Counter | Histogram] = {}
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._lag_seconds = 0.0
        self._requests = self.counter(core.REQUESTS)
        self._latency = self.histogram(core.REQUEST_SECONDS)
        self._failures = self.counter(core.REQUEST_FAILURES)
        self._lost = self.counter(core.DEPENDENCY_LOST)
        self._back = self.counter(core.DEPENDENCY_BACK)
        self._expired = self.counter(core.POOL_EXPIRED)
        self._tell_of_the_process()

    def _tell_of_the_process(self) -> None:
        started = now().timestamp()
        build: Values = {(__version__, platform.python_version()): 1.0}

        async def build_info() -> Mapping[str, Values]:
            return {core.BUILD_INFO.name: build}

        self.on_scrape_values((core.BUILD_INFO,), build_info)
        self.sample(core.RESIDENT_MEMORY, resident_bytes)
        self.sample(core.CPU_SECONDS, cpu_seconds)
        self.sample(core.OPEN_FILES, open_files)
        self.sample(core.START_TIME, lambda: started)
        self.sample(core.LOOP_LAG, lambda: self._lag_seconds)

    def counter(self, metric: Metric) -> Counter:
        """Return the counter that the catalogue has as ``metric``.

        Raises:
            MetricError: It has none of that name, or another one.
        """
        self._demand(metric, "counter")
        found = self._used.get(metric.name)
        if not isinstance(found, Counter):
            found = Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)
            self._used[metric.name] = found
        return found

    def histogram(self, metric: Metric) -> Histogram:
        """Return the histogram of seconds, with the buckets that requests have.

        Raises:
            MetricError: As of `counter`.
        """
        self._demand(metric, "histogram")
        found = self._used.get(metric.name)
        if not isinstance(found, Histogram):
            found = Histogram(
                metric.name,
                metric.meaning,
                metric.labels,
                buckets=LATENCY_BUCKETS_SECONDS,
                registry=self.registry,
            )
            self._used[metric.name] = found
        return found

    def sample(self, metric: Metric, read: Sample) -> None:
        """Read a number of this process once a second: a gauge, or how far something was counted.

        Raises:
            MetricError: As of `counter`; or its one label is not ``process``.
        """
        if metric.labels != (PROCESS,):
            raise MetricError(f"{metric.name} is sampled in each process, so its one label is {PROCESS!r}")
        if metric.kind == "counter":
            self._follow(metric, lambda: {self._process: read()})
            return
        self._demand(metric, "gauge")
        gauge = Gauge(
            metric.name,
            metric.meaning,
            metric.labels,
            registry=self.registry,
            multiprocess_mode=_MODES[metric.merge],
        ).labels(self._process)
        self._samples.append(lambda: gauge.set(read()))

    def sample_each(self, metric: Metric, read: Samples) -> None:
        """Read once a second how far several things were counted, by the value of the one label.

        Raises:
            MetricError: As of `counter`.
        """
        self._follow(metric, read)

    def on_scrape(self, metric: Metric, read: AsyncSample) -> None:
        """Read a number when somebody asks; None leaves it out (what it reads is away).

        Raises:
            MetricError: As of `counter`.
        """

        async def one() -> Mapping[str, Values]:
            value = await read()
            return {} if value is None else {metric.name: {(): value}}

        self.on_scrape_values((metric,), one)

    def on_scrape_each(
        self, metric: Metric, read: AsyncSamples, *, timeout_seconds: float = SCRAPE_TIMEOUT_SECONDS
    ) -> None:
        """Read several things when somebody asks; ``read`` gives a number for each value of the label.

        Raises:
            MetricError: As of `counter`.
        """

        async def each() -> Mapping[str, Values]:
            return {metric.name: {(thing,): value for thing, value in (await read()).items()}}

        self.on_scrape_values((metric,), each, timeout_seconds)

    def on_scrape_all(self, metrics: tuple[Metric, ...], read: AsyncRow) -> None:
        """Read a number for each of ``metrics`` when somebody asks; ``read`` gives them in their order.

        Raises:
            MetricError: As of `counter`.
        """

        async def every() -> Mapping[str, Values]:
            row = await read()
            names = (metric.name for metric in metrics)
            return {name: {(): value} for name, value in zip(names, row, strict=True)}

        self.on_scrape_values(metrics, every)

    def on_scrape_values(
        self,
        metrics: tuple[Metric, ...],
        read: Callable[[], Awaitable[Mapping[str, Values]]],
        timeout_seconds: float = SCRAPE_TIMEOUT_SECONDS,
    ) -> None:
        """Read several metrics at once when somebody asks; ``read`` gives their values by name and labels.

        Raises:
            MetricError: As of `counter`.
        """
        for metric in metrics:
            self._demand(metric, "gauge", "counter")
        self._scrape.add(Reading(metrics, read, timeout_seconds))

    def _demand(self, metric: Metric, *kinds: str) -> None:
        if self.catalogue.get(metric.name) != metric:
            raise MetricError(
                f"{metric.name} is not in the catalogue as it is used; "
                "name it in the metrics of its module (`Module.metrics`)"
            )
        if metric.kind not in kinds:
            raise MetricError(f"{metric.name} is a {metric.kind} and is used as a {' or '.join(kinds)}")

    def _follow(self, metric: Metric, read: Samples) -> None:
        """Count on by what ``read`` has risen since the last time, so that nothing is lost with a process."""
        counter = self.counter(metric)
        seen: dict[str, float] = {}

        def follow() -> None:
            for label, value in read().items():
                counter.labels(label).inc(max(0.0, value - seen.get(label, 0.0)))
                seen[label] = value

        self._samples.append(follow)

    def read(self, observation: Observation) -> None:
        """Count an observation; the reader to add to an `Observer`."""
        if type(observation) is RequestFinished:  # in plain memory: files cost microseconds for each number
            key = (observation.method, observation.route, observation.status)
            tally = self._tallies.get(key)
            if tally is None:
                tally = self._tallies[key] = Tally()
            seconds = observation.duration_seconds
            tally.count += 1
            tally.seconds += seconds
            tally.buckets[bisect_left(LATENCY_BUCKETS_SECONDS, seconds)] += 1
        else:
            self._count_other(observation)

    def _count_other(self, observation: Observation) -> None:
        """Count what happens seldom."""
        match observation:
            case RequestFailed(route=route):
                self._failures.labels(route).inc()
            case DependencyLost(name=name):
                self._lost.labels(name).inc()
            case DependencyBack(name=name):
                self._back.labels(name).inc()
            case PoolWaitExpired():
                self._expired.inc()
            case _:
                pass

    def carry_forward(self) -> None:
        """Bring the requests that were counted since the last time into the exposition's numbers."""
        tallies, self._tallies = self._tallies, {}
        for (method, route, status), tally in tallies.items():
            self._requests.labels(method, route, str(status)).inc(tally.count)
            latency: Any = self._latency.labels(method, route)
            latency._sum.inc(tally.seconds)  # noqa: SLF001 `observe` takes one value at a time
            for at, count in enumerate(tally.buckets):
                if count:
                    latency._buckets[at].inc(count)  # noqa: SLF001 as above

    def take_samples(self) -> None:
        """Bring the counted requests forward and read everything that is sampled now."""
        self.carry_forward()
        for take in self._samples:
            take()

    @asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Sample once a second for as long as the block runs, and once in the end."""
        try:
            async with beside(self._sample_for_ever(), name="metrics sampling"):
                yield
        finally:
            self.take_samples()

    async def exposition(self) -> bytes:
        """Return everything in Prometheus' text format, of all processes when they share a folder."""
        self.take_samples()
        await self._scrape.take()
        return generate_latest(self._counted()) + generate_latest(self._scraped)

    def _counted(self) -> CollectorRegistry:
        folder = os.environ.get(MULTIPROCESS_VARIABLE)
        if not folder or not os.path.isdir(folder):  # noqa: PTH112 one stat
            return self.registry
        forget_the_dead(Path(folder))
        merged = CollectorRegistry()
        MultiProcessCollector(merged, path=folder)  # type: ignore[no-untyped-call]
        return merged

    async def _sample_for_ever(self) -> None:
        while True:
            self.take_samples()
            wanted = monotonic_seconds() + SAMPLE_INTERVAL_SECONDS
            await asyncio.sleep(SAMPLE_INTERVAL_SECONDS)
            self._lag_seconds = max(0.0, monotonic_seconds() - wanted)


def forget_the_dead(folder: Path) -> None:
    """Delete the gauges of processes that are gone: what they held no longer counts.

    Their counters stay, since what they counted did happen.
    """
    for path in folder.glob("gauge_live*_*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not is_alive(int(pid)):
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Say whether a process with this number exists, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def resident_bytes() -> float:
    """Return the resident memory of this process in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # no procfs: the peak is what the system tells, in KiB on Linux and bytes on macOS
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def cpu_seconds() -> float:
    """Return the processor time this process has used, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def open_files() -> float:
    """Return the number of open file descriptors, NaN where the system does not list them."""
    try:
        return float(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 a plain count, no paths
    except OSError:
        return float("nan")
