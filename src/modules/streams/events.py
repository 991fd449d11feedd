"""What happened to sinks. Single messages are no events: metrics count them."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class StreamSinkCreated(Event, frozen=True):
    """Events are carried to a sink from now on; ``address`` has no password."""

    name: ClassVar[str] = "streams.sink_created"

    sink_id: str
    sink_name: str
    kind: str
    address: str
    events: tuple[str, ...]
    tables: tuple[str, ...] = ()


class StreamSinkUpdated(Event, frozen=True):
    """A sink is another, or paused or resumed; ``fields`` were changed."""

    name: ClassVar[str] = "streams.sink_updated"

    sink_id: str
    sink_name: str
    fields: tuple[str, ...]
    kind: str
    address: str
    events: tuple[str, ...]
    tables: tuple[str, ...]
    is_paused: bool


class StreamSinkRewound(Event, frozen=True):
    """Somebody had a sink go on after another number of the feed, back or forth."""

    name: ClassVar[str] = "streams.sink_rewound"

    sink_id: str
    sink_name: str
    from_sequence: int
    to_sequence: int


class StreamSinkTested(Event, frozen=True):
    """Somebody had a sink sent this event, past the feed, to see whether it takes one."""

    name: ClassVar[str] = "streams.sink_tested"

    sink_id: str
    sink_name: str


class StreamSinkDeleted(Event, frozen=True):
    """A sink is gone with its place in the feed."""

    name: ClassVar[str] = "streams.sink_deleted"

    sink_id: str
    sink_name: str


STREAM_EVENTS: Final = (
    StreamSinkCreated,
    StreamSinkUpdated,
    StreamSinkRewound,
    StreamSinkTested,
    StreamSinkDeleted,
)
