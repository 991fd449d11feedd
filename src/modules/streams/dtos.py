"""Bodies of ``/platform/v1/streams``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from modules.streams.targets import Kind, Target
from monohull.kernel.patterns import END

SinkName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]+" + END)
]
SinkPattern: TypeAlias = Annotated[
    str, Meta(max_length=200, pattern=r"^(\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?)" + END)
]
SinkPatterns: TypeAlias = Annotated[tuple[SinkPattern, ...], Meta(max_length=100)]
SinkIdentifier: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00\ud800-\udfff]+$")
]
SinkExpression: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=2000, pattern=r"^[^\x00\ud800-\udfff]+$")
]
SinkOperation: TypeAlias = Literal["INSERT", "UPDATE", "DELETE"]
Format: TypeAlias = Literal["structured", "binary"]
SinkState: TypeAlias = Literal["running", "failing", "paused"]


class SinkRows(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table whose changed rows a sink is told of, as webhooks have it."""

    schema: SinkIdentifier = "public"
    table: SinkIdentifier
    # a list, for the description of a tuple of any length would not fit its own default
    operations: Annotated[list[SinkOperation], Meta(min_length=1, max_length=3)] = field(
        default_factory=lambda: ["INSERT", "UPDATE", "DELETE"]
    )
    columns: Annotated[tuple[SinkIdentifier, ...], Meta(min_length=1, max_length=100)] | None = None
    condition: SinkExpression | None = None


Tables: TypeAlias = Annotated[tuple[SinkRows, ...], Meta(max_length=50)]


class CreateSink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sink to be made. ``events`` are names or patterns such as ``auth.*``, ``rows`` tables.

    ``format`` ``structured`` sends a CloudEvent as JSON, ``binary`` its data alone with the attributes as
    headers, where the broker has headers.
    """

    name: SinkName
    target: Target
    events: SinkPatterns = ()
    rows: Tables = ()
    format: Format = "structured"
    is_paused: bool = False


class SinkPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different. ``target`` replaces the whole of it, passwords included."""

    name: SinkName | UnsetType = UNSET
    target: Target | UnsetType = UNSET
    events: SinkPatterns | UnsetType = UNSET
    rows: Tables | UnsetType = UNSET
    format: Format | UnsetType = UNSET
    is_paused: bool | UnsetType = UNSET


class SinkView(Struct, frozen=True, kw_only=True):
    """A sink, its place in the feed and how it does; passwords in ``target`` are ``***``.

    ``sequence`` is the number up to which it has all events; ``lag_events`` counts those behind that,
    also such as it does not want.
    """

    id: UUID
    name: str
    kind: Kind
    address: str
    target: dict[str, Any]
    events: tuple[str, ...]
    rows: tuple[SinkRows, ...]
    format: Format
    state: SinkState
    sequence: int
    lag_events: int
    lag_seconds: float
    delivered: int
    last_delivered_at: datetime | None
    consecutive_failures: int
    failing_since: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SinkPage(Struct, frozen=True, kw_only=True):
    """Some of the sinks; ``next`` is the ``cursor`` of the following page."""

    sinks: tuple[SinkView, ...]
    next: str | None


class Rewind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a sink is to go on: after a number of the feed, or with what was relayed at a time or later."""

    sequence: Annotated[int, Meta(ge=0, le=9_000_000_000_000_000_000)] | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        if (self.sequence is None) == (self.time is None):
            raise ValueError("give a sequence or a time")


class SinkTested(Struct, frozen=True, kw_only=True):
    """Whether the broker took the event ``streams.sink_tested``, and otherwise why not."""

    event_id: UUID
    is_taken: bool
    reason: str | None
    duration_seconds: float


class EventSchema(Struct, frozen=True, kw_only=True):
    """One event and where its JSON schema is."""

    event: str
    version: int
    summary: str
    dataschema: str
