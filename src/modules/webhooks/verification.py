"""The proof that nothing is missing: each event that an endpoint matched has a delivery in a known state.

It reads the feed anew, asks of every event what the fan-out asked, and looks for the delivery. What the
fan-out has not come to yet is told apart: it will have its delivery.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta  # noqa: TC003 msgspec reads the first
from typing import TYPE_CHECKING, Final
from uuid import UUID  # noqa: TC003 msgspec reads it

from msgspec import Struct

from modules.webhooks.matching import list_interests, matches_of
from monohull.kernel import clock
from monohull.kernel.feed import feed_end, feed_sequence_at, read_feed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from modules.webhooks.matching import Interest, Match
    from monohull.kernel.events import Envelope

_PLACE: Final = "select sequence from monohull.webhook_fanout"
_STATES: Final = """
    select endpoint_id, event_id, state from monohull.webhook_deliveries
    where kind = 'event' and event_id = any ($1::uuid[])
"""


class Unaccounted(Struct, frozen=True, kw_only=True):
    """An event that an endpoint matched and that has no delivery."""

    endpoint_id: UUID
    event_id: UUID
    event: str
    sequence: int
    occurred_at: datetime


class Account(Struct, frozen=True, kw_only=True):
    """What became of the events since a time.

    Attributes:
        since: Of relaying.
        events: Events that were read.
        matched: Pairs of an event and an endpoint that it was for.
        states: How many deliveries of those are in which state.
        waiting_events: Events that the fan-out has not come to.
        missing: How many have no delivery.
        first_missing: The first of them in the order of the feed.
    """

    since: datetime
    events: int
    matched: int
    states: dict[str, int]
    waiting_events: int
    missing: int
    first_missing: Unaccounted | None

    @property
    def ok(self) -> bool:
        return self.missing == 0


async def verify(
    connection: asyncpg.Connection, *, since: datetime | None, endpoint_id: UUID | None, retention: timedelta
) -> Account:
    """Account for every event.

    Args:
        connection: In a transaction that sees one state of the database.
        since: Aware; as far back as deliveries are kept where it is None or earlier.
        endpoint_id: One endpoint alone.
        retention: How long finished deliveries are kept.
    """
    oldest = clock.now() - retention
    start = oldest if since is None else max(since, oldest)
    place: int = await connection.fetchval(_PLACE)
    interests = await list_interests(connection, endpoint_id)
    after = await feed_sequence_at(connection, start)
    counts: Counter[str] = Counter()
    events, first = 0, None
    while batch := [one for one in await read_feed(connection, after=after) if one.sequence <= place]:
        events += len(batch)
        after = batch[-1].sequence
        lost = await _judge(connection, batch, interests, counts)
        first = first or lost
    return Account(
        since=start,
        events=events,
        matched=counts.total(),
        states={state: number for state, number in sorted(counts.items()) if state != "missing"},
        waiting_events=max(0, await feed_end(connection) - max(place, after)),
        missing=counts["missing"],
        first_missing=first,
    )


async def _judge(
    connection: asyncpg.Connection,
    batch: Sequence[Envelope],
    interests: Sequence[Interest],
    counts: Counter[str],
) -> Unaccounted | None:
    """Count the deliveries of a batch by state; return the first that is not there."""
    found: list[Match] = matches_of(batch, interests)
    if not found:
        return None
    rows = await connection.fetch(_STATES, list({match.event.id for match in found}))
    states = {(row["endpoint_id"], row["event_id"]): row["state"] for row in rows}
    first: Unaccounted | None = None
    for match in found:
        state = states.get((match.interest.endpoint_id, match.event.id), "missing")
        counts[state] += 1
        if state == "missing" and first is None:
            first = Unaccounted(
                endpoint_id=match.interest.endpoint_id,
                event_id=match.event.id,
                event=match.event.name,
                sequence=match.event.sequence,
                occurred_at=match.event.occurred_at,
            )
    return first
