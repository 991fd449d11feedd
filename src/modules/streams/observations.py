"""What carrying events to sinks notices, for log and metrics."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.observation import Level, Observation


class SinkTook(Observation, frozen=True, kw_only=True):
    """A sink has acknowledged a batch of events; ``sequence`` is its place in the feed from now on."""

    event: ClassVar[str] = "streams.sink_took"
    level: ClassVar[Level] = "debug"

    sink_id: str
    events: int
    sequence: int
    duration_seconds: float


class SinkFailed(Observation, frozen=True, kw_only=True):
    """A sink did not take a batch of events; the same ones are sent again, later and later."""

    event: ClassVar[str] = "streams.sink_failed"
    level: ClassVar[Level] = "warning"

    sink_id: str
    kind: str
    reason: str
    failures: int
    next_seconds: float


class SinkRecovered(Observation, frozen=True, kw_only=True):
    """A sink that failed takes events again."""

    event: ClassVar[str] = "streams.sink_recovered"

    sink_id: str
    failures: int


class SinkLed(Observation, frozen=True, kw_only=True):
    """This process is the one that carries events to a sink."""

    event: ClassVar[str] = "streams.sink_led"
    level: ClassVar[Level] = "debug"

    sink_id: str


class StreamsStalled(Observation, frozen=True, kw_only=True):
    """Sinks could not be looked after, mostly because the database is away; it is tried again in a second."""

    event: ClassVar[str] = "streams.stalled"
    level: ClassVar[Level] = "warning"

    reason: str
