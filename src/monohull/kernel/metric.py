"""`Metric`: what one number of ``/metrics`` is, declared once.

    WAITING: Final = gauge("monohull_webhooks_waiting", "Deliveries that wait or are on their way.")
    METRICS: Final = (WAITING,)

The kernel's stand in `core_metrics`, those of a room in its ``metrics.py``, which its `Module` exports.
Together they are the catalogue: `Metrics` counts and shows nothing that is not in it, and the reference
page, dashboards and alert rules are written and checked by it.

Names follow https://prometheus.io/docs/practices/naming: base units, ``_total`` where it only rises, and
no label that a scrape adds itself. A name that does not is refused where it is declared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Merge: TypeAlias = Literal["sum", "max", "each"]
"""How a gauge of several processes becomes one: added up, the largest, or each with its number (``pid``)."""

Unit: TypeAlias = Literal["seconds", "bytes", "ratio", "info", "count"]

PROCESS: Final = "process"
"""The label of what a process tells of itself: ``api`` or ``worker``."""

_NAME: Final = re.compile(r"monohull(?:_[a-z][a-z0-9]*)+")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED_LABELS: Final = frozenset({"job", "instance", "le", "quantile", "pid"})
_RESERVED_ENDS: Final = ("_count", "_sum", "_bucket", "_created", "_total")
_SMALL_UNITS: Final = re.compile(
    r"_(?:ms|us|ns|milliseconds?|microseconds?|minutes?|hours?|days?|second|byte"
    r"|bits?|kb|mb|gb|kib|mib|gib|kilobytes?|megabytes?|percent|percentage)(?:_|$)"
)
_UNITS: Final[Mapping[str, Unit]] = {"seconds": "seconds", "bytes": "bytes", "ratio": "ratio", "info": "info"}


class MetricError(Exception):
    """A metric is named against the conventions, declared twice, or used without being declared."""


class Metric(Struct, frozen=True, kw_only=True):
    """One number, or one for each combination of its labels.

    Attributes:
        name: As it is exposed, with unit and ``_total``; a histogram's without ``_bucket``.
        kind: What Prometheus calls it.
        meaning: One sentence for whoever reads a dashboard.
        labels: What tells the series of this name apart; each has few values.
        merge: How several processes become one, for gauges that each process keeps.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    merge: Merge = "sum"

    def __post_init__(self) -> None:
        if fault := next(_faults(self), None):
            raise MetricError(f"{self.name}: {fault}")

    @property
    def unit(self) -> Unit:
        """What it is measured in; ``count`` is the number of the things that the name says."""
        return _UNITS.get(self.name.removesuffix("_total").rpartition("_")[2], "count")

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.kind != "histogram":
            return (self.name,)
        return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")


def counter(name: str, meaning: str, *labels: str) -> Metric:
    """Declare what only rises: ``name`` ends with ``_total``."""
    return Metric(name=name, kind="counter", meaning=meaning, labels=labels)


def histogram(name: str, meaning: str, *labels: str) -> Metric:
    """Declare how something is spread: ``name`` ends with its unit."""
    return Metric(name=name, kind="histogram", meaning=meaning, labels=labels)


def gauge(name: str, meaning: str, *labels: str) -> Metric:
    """Declare a state of the whole instance, read when somebody scrapes."""
    return Metric(name=name, kind="gauge", meaning=meaning, labels=labels)


def process_gauge(name: str, meaning: str, *, merge: Merge = "sum") -> Metric:
    """Declare a state of one process, read once a second."""
    return Metric(name=name, kind="gauge", meaning=meaning, labels=(PROCESS,), merge=merge)


def catalogue_of(metrics: Iterable[Metric]) -> Mapping[str, Metric]:
    """Return ``metrics`` by name.

    Raises:
        MetricError: Two have one name, or one has the name of another's series.
    """
    found: dict[str, Metric] = {}
    series: dict[str, str] = {}
    for metric in metrics:
        for name in {metric.name, *metric.series}:
            if name in series:
                raise MetricError(f"{name} is declared twice, by {series[name]} and {metric.name}")
            series[name] = metric.name
        found[metric.name] = metric
    return found


def _faults(metric: Metric) -> Iterator[str]:
    """Say what is wrong with a declaration."""
    name, is_counter = metric.name, metric.kind == "counter"
    if not _NAME.fullmatch(name):
        yield "a name is monohull_ and words of lower case letters and digits"
    if is_counter != name.endswith("_total"):
        yield "a counter ends with _total, and nothing else does"
    if name.removesuffix("_total" if is_counter else "").endswith(_RESERVED_ENDS):
        yield f"what comes before the end may not be one of {', '.join(_RESERVED_ENDS)}"
    if _SMALL_UNITS.search(name):
        yield "only base units: seconds, bytes, ratio"
    if metric.kind == "histogram" and metric.unit not in ("seconds", "bytes"):
        yield "a histogram ends with its unit"
    if wrong := [label for label in metric.labels if not _LABEL.fullmatch(label)]:
        yield f"{wrong[0]!r} is no name for a label"
    if taken := _RESERVED_LABELS & set(metric.labels):
        yield f"the label {min(taken)!r} is added by whoever scrapes"
    if len(set(metric.labels)) < len(metric.labels):
        yield "a label comes twice"
    if not metric.meaning.endswith("."):
        yield "its meaning is a sentence and ends with a full stop"
