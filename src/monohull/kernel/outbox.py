"""The outbox: what must happen after a commit is written in the transaction itself.

Nothing here talks to Redis or to anybody else. A row is written, and
``pg_notify`` wakes the relay, unless that looks by itself (`vigil`); PostgreSQL
delivers it when the transaction commits and forgets it when the transaction
fails. So nothing runs for work that was rolled back, and nothing that was
committed is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import text

from monohull.kernel.errors import Problem
from monohull.kernel.ids import uuid7
from monohull.kernel.origin import acting_subject, origin, running_trace
from monohull.kernel.vigil import RELAY_SLEEPS

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.database.engine import Database
    from monohull.kernel.events import Event

CHANNEL: Final = "monohull_outbox"
"""What the relay listens to. The message says nothing; the tables do."""

_PUBLISH: Final = text(
    f"""
    with published as (
        insert into monohull.outbox
            (id, name, version, key, actor, request_id, traceparent, payload, origin, is_audited)
        values (:id, :name, :version, :key, :actor, :request_id, :traceparent, cast(:payload as json),
                cast(:origin as json), :is_audited)
        returning 1
    )
    select pg_notify('monohull_outbox', '') from published where {RELAY_SLEEPS}
    """  # noqa: S608 our own
)

_LAG: Final = text(
    """
    select
        extract(epoch from now() - least(events.oldest, jobs.oldest))::float8 as oldest_seconds,
        events.waiting as events, jobs.waiting as jobs
    from
        (select min(oldest) as oldest, sum(waiting)::bigint as waiting
         from (
             select min(occurred_at) as oldest, count(*) as waiting
             from monohull.outbox where sequence is null
             union all
             select min(occurred_at), coalesce(sum(events), 0) from monohull.row_changes
         ) as parts) as events,
        (select min(due_at) as oldest, count(*) as waiting
         from monohull.jobs where dispatched_at is null and done_at is null and due_at <= now()) as jobs
    """
)


class Lag(msgspec.Struct, frozen=True):
    """What the relay has still to do.

    Attributes:
        oldest_seconds: Age of the oldest event or due job; 0.0 when nothing waits.
        events: Events that were not yet turned into deliveries.
        jobs: Jobs that are due and not yet with the workers.
    """

    oldest_seconds: float
    events: int
    jobs: int


async def publish(session: AsyncSession, event: Event, *, key: str | None = None) -> UUID:
    """Record ``event`` in the caller's transaction and return the id it will be delivered with.

    Args:
        session: The unit of work that causes the event.
        event: What happened.
        key: What it is about, for readers that need order per thing.
    """
    event_id, came_from = uuid7(), origin()
    parameters = {
        "id": event_id,
        "name": event.name,
        "version": event.version,
        "key": key,
        "payload": msgspec.json.encode(event).decode(),
        "origin": None if came_from is None else msgspec.json.encode(came_from).decode(),
        "is_audited": event.is_audited,
        **cause(),
    }
    await session.execute(_PUBLISH, parameters)
    return event_id


def cause() -> dict[str, str | None]:
    """Return who and which request this task works for, as columns."""
    trace = running_trace()
    return {
        "actor": acting_subject(),
        "request_id": trace.request_id if trace else None,
        "traceparent": trace.traceparent if trace else None,
    }


async def outbox_lag(database: Database) -> Lag:
    """Count what waits for the relay.

    Raises:
        DatabaseUnavailable: 503.
    """
    async with database.connected() as connection:
        row = (await connection.execute(_LAG)).one()
    return Lag(max(row.oldest_seconds or 0.0, 0.0), row.events, row.jobs)


async def outbox_lag_seconds(database: Database) -> float | None:
    """Return the age of the oldest that waits, for the metric; None when the database is away."""
    try:
        return (await outbox_lag(database)).oldest_seconds
    except Problem:
        return None
