"""The kernel's own jobs: delivering events, and forgetting what is long done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import text

from monohull.kernel.feed import COLUMNS, envelope_of
from monohull.kernel.observation import Observation
from monohull.kernel.queues import Backoff, Cron, GiveUp, job

if TYPE_CHECKING:
    from monohull.kernel.database.engine import Database
    from monohull.kernel.events import Envelope
    from monohull.kernel.runtime import Runtime

READER_PATIENCE_DAYS: Final = 30
"""So long an event is kept for a reader of the feed that did not pass it."""
PURGE_BATCH: Final = 5000


class UnreadEventsDeleted(Observation, frozen=True, kw_only=True):
    """Events were deleted that a reader of the feed had not passed in 30 days: it will never see them."""

    event = "feed.unread_events_deleted"
    level = "warning"

    events: int


_EVENT: Final = text(f"select {COLUMNS} from monohull.outbox where id = :id")  # noqa: S608 names of our own

_PURGE_OUTBOX: Final = text(
    """
    with first as (
        select coalesce(min(sequence), 9223372036854775807) as sequence from monohull.feed_readers
    ), gone as (
        delete from monohull.outbox where sequence in (
            select old.sequence from monohull.outbox as old, first
            where old.sequence is not null and relayed_at < now() - make_interval(days => :days)
                and (old.sequence <= first.sequence or relayed_at < now() - make_interval(days => :patience))
                and not exists (select from monohull.jobs where event_id = old.id)
                and not exists (select from monohull.dead_letters where event_id = old.id)
            order by old.sequence limit :batch)
        returning sequence
    )
    select count(*) as events, count(*) filter (where gone.sequence > first.sequence) as unread
    from gone, first
    """
)

_PURGES: Final = (
    text(
        """
        delete from monohull.jobs where position in (
            select position from monohull.jobs
            where done_at < now() - make_interval(days => :job_days)
                and (outcome <> 'dead' or done_at < now() - make_interval(days => :letter_days))
            order by done_at limit :batch)
        """
    ),
    text(
        """
        delete from monohull.dead_letters where id in (
            select id from monohull.dead_letters
            where died_at < now() - make_interval(days => :letter_days)
            order by died_at limit :batch)
        """
    ),
    text(
        """
        delete from monohull.job_batches where id in (
            select id from monohull.job_batches
            where done_at < now() - make_interval(days => :job_days)
            order by done_at limit :batch)
        """
    ),
)


@job(
    "kernel.deliver_event",
    max_attempts=12,
    timeout_seconds=60,
    backoff=Backoff(base_seconds=1, factor=3, max_seconds=3600),
)
async def deliver_event(runtime: Runtime, *, event_id: str, subscriber: str) -> None:
    """Hand one event to one subscriber. Each has its own attempts, so that none holds up another."""
    envelope = await find_event(runtime.database, UUID(event_id))
    if envelope is None:
        raise GiveUp(f"the event {event_id} is no longer in the outbox")
    await runtime.events.subscriber(subscriber).handle(runtime, envelope)


@job("kernel.purge", max_attempts=3, timeout_seconds=600)
async def purge(runtime: Runtime) -> None:
    """Delete what is past its retention, in batches that each lock little and briefly."""
    await _purge_outbox(runtime)
    core = runtime.settings.core
    parameters = {
        "job_days": core.job_retention_days,
        "letter_days": core.dead_letter_retention_days,
        "batch": PURGE_BATCH,
    }
    for statement in _PURGES:
        deleted = PURGE_BATCH
        while deleted == PURGE_BATCH:
            async with runtime.database.unit_of_work() as session:
                result = await session.execute(statement, parameters)
                deleted = result.rowcount  # type: ignore[attr-defined]  # a DELETE's result has it


async def _purge_outbox(runtime: Runtime) -> None:
    """Delete events that were delivered, and that readers of the feed have passed or leave too long."""
    days = runtime.settings.core.outbox_retention_days
    limits = {"days": days, "patience": max(days, READER_PATIENCE_DAYS), "batch": PURGE_BATCH}
    deleted = PURGE_BATCH
    while deleted == PURGE_BATCH:
        async with runtime.database.unit_of_work() as session:
            row = (await session.execute(_PURGE_OUTBOX, limits)).one()
        deleted = row.events
        if row.unread:
            runtime.observer.observe(UnreadEventsDeleted(events=row.unread))


async def find_event(database: Database, event_id: UUID) -> Envelope | None:
    """Return the event as it was recorded, or None when its retention is over.

    Raises:
        DatabaseUnavailable: 503.
    """
    async with database.connected() as connection:
        row = (await connection.execute(_EVENT, {"id": event_id})).one_or_none()
    return None if row is None else envelope_of(row._asdict())


KERNEL_JOBS: Final = (deliver_event, purge)
KERNEL_CRONS: Final = (Cron(job=purge, schedule="17 3 * * *"),)
