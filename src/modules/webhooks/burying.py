"""Give up what waits for endpoints that are disabled, whatever brought it there.

Disabling an endpoint buries what is pending then. What was on its way comes back later: given back by a
worker that stops, or left by one that was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.webhooks.leasing import lost_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from modules.webhooks.leasing import Lost

_BURY: Final = """
    with left_over as (
        select d.id, d.state, d.attempts, d.due_at from monohull.webhook_endpoints as e
        join monohull.webhook_deliveries as d on d.endpoint_id = e.id
        where not e.is_enabled and d.state in ('pending', 'sending')
            and (d.state = 'pending' or d.due_at <= now())
        limit $1 for update of d skip locked
    ), lost as (
        insert into monohull.webhook_attempts (delivery_id, number, outcome, reason, message, started_at)
        select id, attempts, 'lost', 'worker_lost', 'The worker that made this attempt said no more.', due_at
        from left_over where state = 'sending'
        on conflict do nothing
    ), buried as (
        update monohull.webhook_deliveries as d
        set state = 'dead', reason = 'endpoint_disabled', finished_at = now()
        from left_over where d.id = left_over.id
        returning d.id, d.endpoint_id, d.event_id, d.attempts, d.reason
    )
    select buried.*, ev.request_id
    from buried join monohull.webhook_events as ev on ev.id = buried.event_id
"""


async def bury_left_over(connection: asyncpg.Connection, limit: int) -> Sequence[Lost]:
    """Give up at most ``limit`` deliveries of disabled endpoints whose lease is over; return them."""
    return [lost_of(row) for row in await connection.fetch(_BURY, limit)]
