"""Which events a sink is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monohull.kernel.events import matches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from monohull.kernel.events import Envelope

ROWS: Final = "rows."
"""What the names of events about rows of tables begin with."""
ROW_PATTERN: Final = "rows.*"


def reader_of(sink_id: UUID) -> str:
    """Return the name under which a sink's place in the feed is kept."""
    return f"streams.{sink_id}"


def watcher_of(sink_id: UUID) -> str:
    """Return the name under which a sink watches tables."""
    return f"streams:{sink_id}"


def read_patterns(patterns: Sequence[str], *, has_rows: bool) -> tuple[str, ...]:
    """Return the patterns of the events that have to be read for a sink."""
    return (*patterns, ROW_PATTERN) if has_rows and "*" not in patterns else tuple(patterns)


def wants(event: Envelope, patterns: Sequence[str], watcher: str) -> bool:
    """Say whether a sink is sent an event; rows of tables are for those that watch them."""
    if event.name.startswith(ROWS):
        return watcher in (event.watchers or ())
    return any(matches(pattern, event.name) for pattern in patterns)
