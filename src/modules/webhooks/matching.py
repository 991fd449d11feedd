"""Which endpoint an event is for. Fan-out and the proof that nothing is missing ask the same function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 msgspec reads it

import msgspec
from msgspec import Struct

from modules.webhooks.bodies import ROWS
from modules.webhooks.dtos import Condition
from modules.webhooks.filters import holds
from monohull.kernel.events import matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from monohull.kernel.events import Envelope

_LIST: Final = """
    select id, events, filters::text as filters, is_ordered, active_from, active_until
    from monohull.webhook_endpoints where ($1::uuid is null or id = $1) order by id
"""


WATCHER: Final = "webhooks:"
"""How the names begin under which endpoints watch tables."""


class Interest(Struct, frozen=True, kw_only=True):
    """What one endpoint wants to hear of.

    Attributes:
        patterns: Of names.
        filters: On fields of the payload.
        after: The last number in the feed that is not for it.
        until: The last one that is, or None where it goes on.
    """

    endpoint_id: UUID
    patterns: tuple[str, ...]
    filters: tuple[Condition, ...] = ()
    is_ordered: bool = False
    after: int = 0
    until: int | None = None

    def covers(self, sequence: int) -> bool:
        """Say whether this number in the feed is for the endpoint as it is now."""
        return sequence > self.after and (self.until is None or sequence <= self.until)

    def wants(self, event: Envelope) -> bool:
        """Say whether it hears of an event; rows of tables are for those that watch them."""
        if event.name.startswith(ROWS):
            return watcher_of(self.endpoint_id) in (event.watchers or ())
        return any(matches(pattern, event.name) for pattern in self.patterns)


class Match(Struct, frozen=True):
    """That an endpoint is to be told of an event."""

    interest: Interest
    event: Any

    @property
    def order_key(self) -> str | None:
        """Events with the same one wait for each other; those about nothing named wait for none."""
        key: str | None = self.event.key
        return key if self.interest.is_ordered else None


def watcher_of(endpoint_id: UUID) -> str:
    """Return the name under which an endpoint watches tables."""
    return f"{WATCHER}{endpoint_id}"


async def list_interests(
    connection: asyncpg.Connection, endpoint_id: UUID | None = None
) -> Sequence[Interest]:
    """Return what every endpoint wants to hear of, disabled ones too, or one of them."""
    return [
        Interest(
            endpoint_id=row["id"],
            patterns=tuple(row["events"]),
            filters=msgspec.json.decode(row["filters"], type=tuple[Condition, ...]),
            is_ordered=row["is_ordered"],
            after=row["active_from"],
            until=row["active_until"],
        )
        for row in await connection.fetch(_LIST, endpoint_id)
    ]


def matches_of(events: Sequence[Envelope], interests: Sequence[Interest]) -> list[Match]:
    """Return who is to be told of what, in the order of the events."""
    found: list[Match] = []
    for event in events:
        wanting = [one for one in interests if one.covers(event.sequence) and one.wants(event)]
        payload = msgspec.json.decode(event.payload) if any(one.filters for one in wanting) else None
        found += [Match(one, event) for one in wanting if holds(one.filters, payload)]
    return found
