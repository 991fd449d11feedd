"""Events of the feed → one delivery for each endpoint that wants them, in the transaction that moves on.

Exactly one: the place in the feed moves with the deliveries, and a unique index on endpoint and event
stands behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.webhooks.matching import list_interests, matches_of
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from modules.webhooks.matching import Match
    from monohull.kernel.events import Envelope

READER: Final = "webhooks.fanout"

_LOCK: Final = "select sequence from monohull.webhook_fanout for update"
_MOVE: Final = "update monohull.webhook_fanout set sequence = $1"
_EVENTS: Final = """
    insert into monohull.webhook_events
        (id, sequence, name, version, key, occurred_at, request_id, traceparent, payload)
    select id, sequence, name, version, key, occurred_at, request_id, traceparent, payload::json
    from unnest($1::uuid[], $2::bigint[], $3::text[], $4::int[], $5::text[], $6::timestamptz[],
                $7::text[], $8::text[], $9::text[])
        as new (id, sequence, name, version, key, occurred_at, request_id, traceparent, payload)
    on conflict (id) do nothing
"""
_DELIVERIES: Final = """
    insert into monohull.webhook_deliveries (id, endpoint_id, event_id, order_key)
    select id, endpoint_id, event_id, order_key
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[])
        with ordinality as new (id, endpoint_id, event_id, order_key, nth)
    order by nth
    on conflict (endpoint_id, event_id) where kind = 'event' do nothing
"""


async def fan_out(connection: asyncpg.Connection, events: Sequence[Envelope]) -> int:
    """Make the deliveries of events that come next in the feed; return how many.

    Args:
        connection: In the transaction that moves the reader's place.
        events: In the order of the feed, one at least.
    """
    place: int = await connection.fetchval(_LOCK)
    found = matches_of(
        [event for event in events if event.sequence > place], await list_interests(connection)
    )
    if found:
        await _insert(connection, found)
    if events[-1].sequence > place:
        await connection.execute(_MOVE, events[-1].sequence)
    return len(found)


async def _insert(connection: asyncpg.Connection, found: Sequence[Match]) -> None:
    told = list({match.event.id: match.event for match in found}.values())
    fields = ("id", "sequence", "name", "version", "key", "occurred_at", "request_id", "traceparent")
    await connection.execute(
        _EVENTS,
        *([getattr(event, field) for event in told] for field in fields),
        [bytes(event.payload).decode() for event in told],
    )
    await connection.execute(
        _DELIVERIES,
        [uuid7() for _ in found],
        [match.interest.endpoint_id for match in found],
        [match.event.id for match in found],
        [match.order_key for match in found],
    )
