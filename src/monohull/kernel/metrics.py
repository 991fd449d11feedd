"""Prometheus metrics: counted from observations, sampled from resources, merged over processes.

With several API processes on one port a scrape reaches any of them, so under
``monohull serve`` each process writes its numbers to files of a common folder
(``PROMETHEUS_MULTIPROC_DIR``, emptied at start) and whoever is asked adds them
up. The library reads that variable when it is first imported, therefore the
command sets it before it starts the processes.
"""

from __future__ import annotations

import asyncio
import os
import resource
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from monohull import __version__
from monohull.kernel.observation import (
    DependencyBack,
    DependencyLost,
    Observation,
    RequestFailed,
    RequestFinished,
)
from monohull.kernel.tasks import beside

MULTIPROCESS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SAMPLE_INTERVAL_SECONDS: Final = 1.0
SCRAPE_TIMEOUT_SECONDS: Final = 1.0

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


class Tally:
    """Requests of one method, route and status since the numbers were last brought forward."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(LATENCY_BUCKETS_SECONDS) + 1)


Sample = Callable[[], float]
AsyncSample = Callable[[], Awaitable[float | None]]
AsyncSamples = Callable[[], Awaitable[Mapping[str, float]]]


class Metrics:
    """The numbers of one process.

    Args:
        process: ``api``, ``worker`` or ``cli``; label of the process' own gauges.
    """

    def __init__(self, process: str) -> None:
        self.registry = CollectorRegistry()
        self._process = process
        self._samples: list[tuple[Gauge, Sample]] = []
        self._scraped: list[tuple[Gauge, AsyncSample]] = []
        self._scraped_each: list[tuple[Gauge, AsyncSamples, set[str]]] = []
        self._counters: dict[str, Counter] = {}
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._requests = Counter(
            "monohull_http_requests",
            "Requests by method, route template and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "monohull_http_request_duration_seconds",
            "Time from the request's first byte to the answer's last.",
            ["method", "route"],
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self._failures = self.counter(
            "monohull_http_request_failures", "Requests that met a defect (500).", "route"
        )
        self._lost = self.counter("monohull_dependency_lost", "Times a dependency went away.", "name")
        self._back = self.counter("monohull_dependency_back", "Times a dependency came back.", "name")
        info = Gauge(
            "monohull_build_info",
            "The version that runs.",
            ["version"],
            registry=self.registry,
            multiprocess_mode="max",
        )
        info.labels(__version__).set(1)
        self.sample(
            "monohull_process_resident_memory_bytes", "Resident memory.", resident_bytes, per_process=True
        )
        self.sample(
            "monohull_process_cpu_seconds", "Processor time used so far.", cpu_seconds, per_process=True
        )
        self.sample("monohull_process_open_files", "Open file descriptors.", open_files, per_process=True)

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """Declare a counter; the exposition adds ``_total``."""
        if name not in self._counters:
            self._counters[name] = Counter(name, documentation, labels, registry=self.registry)
        return self._counters[name]

    def histogram(self, name: str, documentation: str, *labels: str) -> Histogram:
        """Declare a histogram of seconds with the buckets that requests have."""
        return Histogram(name, documentation, labels, buckets=LATENCY_BUCKETS_SECONDS, registry=self.registry)

    def sample(self, name: str, documentation: str, read: Sample, *, per_process: bool = False) -> None:
        """Declare a gauge whose value is read once a second and added up over processes."""
        gauge = Gauge(
            name,
            documentation,
            ["process"],
            registry=self.registry,
            multiprocess_mode="liveall" if per_process else "livesum",
        )
        self._samples.append((gauge, read))

    def on_scrape(self, name: str, documentation: str, read: AsyncSample) -> None:
        """Declare a gauge that is read when somebody asks; None leaves it out (what it reads is away)."""
        gauge = Gauge(name, documentation, registry=self.registry, multiprocess_mode="mostrecent")
        self._scraped.append((gauge, read))

    def on_scrape_each(self, name: str, documentation: str, label: str, read: AsyncSamples) -> None:
        """Declare a gauge of several things, read when somebody asks; ``read`` gives a number for each."""
        gauge = Gauge(name, documentation, [label], registry=self.registry, multiprocess_mode="mostrecent")
        self._scraped_each.append((gauge, read, set()))

    def read(self, observation: Observation) -> None:
        """Count an observation; the reader to add to an `Observer`."""
        if type(observation) is RequestFinished:
            self._count_request(observation)
            return
        match observation:
            case RequestFailed(route=route):
                self._failures.labels(route).inc()
            case DependencyLost(name=name):
                self._lost.labels(name).inc()
            case DependencyBack(name=name):
                self._back.labels(name).inc()
            case _:
                pass

    def _count_request(self, finished: RequestFinished) -> None:
        """Count in plain memory: the files of several processes cost microseconds for each number."""
        key = (finished.method, finished.route, finished.status)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        seconds = finished.duration_seconds
        tally.count += 1
        tally.seconds += seconds
        tally.buckets[bisect_left(LATENCY_BUCKETS_SECONDS, seconds)] += 1

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
        """Bring the counted requests forward and read every sampled gauge now."""
        self.carry_forward()
        for gauge, read in self._samples:
            gauge.labels(self._process).set(read())

    @asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Read the sampled gauges once a second for as long as the block runs."""
        try:
            async with beside(self._sample_for_ever(), name="metrics sampling"):
                yield
        finally:
            self.carry_forward()

    async def exposition(self) -> bytes:
        """Return everything in Prometheus' text format, of all processes when they share a folder."""
        self.take_samples()
        await asyncio.gather(
            *(_scrape(gauge, read) for gauge, read in self._scraped),
            *(_scrape_each(gauge, read, seen) for gauge, read, seen in self._scraped_each),
        )
        if (folder := os.environ.get(MULTIPROCESS_VARIABLE)) and os.path.isdir(folder):  # noqa: ASYNC240, PTH112 one stat
            forget_the_dead(Path(folder))
            merged = CollectorRegistry()
            MultiProcessCollector(merged, path=folder)  # type: ignore[no-untyped-call]
            return generate_latest(merged)
        return generate_latest(self.registry)

    async def _sample_for_ever(self) -> None:
        while True:
            self.take_samples()
            await asyncio.sleep(SAMPLE_INTERVAL_SECONDS)


async def _scrape(gauge: Gauge, read: AsyncSample) -> None:
    try:
        async with asyncio.timeout(SCRAPE_TIMEOUT_SECONDS):
            value = await read()
    except Exception:  # noqa: BLE001 a dependency that is away must not take /metrics with it
        value = None
    gauge.set(float("nan") if value is None else value)


async def _scrape_each(gauge: Gauge, read: AsyncSamples, seen: set[str]) -> None:
    try:
        async with asyncio.timeout(SCRAPE_TIMEOUT_SECONDS):
            values = await read()
    except Exception:  # noqa: BLE001 a dependency that is away must not take /metrics with it
        values = {}
    seen.update(values)
    for thing in seen:
        gauge.labels(thing).set(values.get(thing, float("nan")))


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
