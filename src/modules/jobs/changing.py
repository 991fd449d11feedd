"""Change the ledger: cancel, try again, delete; and pause queues. Each statement of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.jobs.searching import UNDONE, conditions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.jobs.dtos import Selection

BATCH: Final = 1000
"""Jobs that one call changes at most."""

_CANCEL: Final = """
    with chosen as (
        select j.id from monohull.jobs as j
        where {undone} and j.cancel_requested_at is null and {where}
        order by j.batch_id nulls first, j.position limit {limit} for update
    )
    update monohull.jobs as j
    set cancel_requested_at = now(),
        done_at = case when j.worker is null then now() end,
        outcome = case when j.worker is null then 'cancelled' end
    from chosen where j.id = chosen.id
    returning j.id, j.attempts, j.done_at is null as is_running
"""
_RETRY: Final = """
    with chosen as (
        select j.id from monohull.jobs as j
        where j.outcome in ('dead', 'cancelled') and {where}
            and (j.key is null or not exists (
                select from monohull.jobs as other
                where other.name = j.name and other.key = j.key and other.id <> j.id
                    and (other.done_at is null
                        or (other.outcome in ('dead', 'cancelled') and other.position > j.position))))
        order by j.batch_id nulls first, j.position limit {limit} for update
    ), revived as (
        update monohull.jobs as j
        set done_at = null, outcome = null, attempts_before = j.attempts, due_at = now(),
            dispatched_at = null, message = null, worker = null, heartbeat_at = null,
            cancel_requested_at = null, progress = null, progress_text = null
        from chosen where j.id = chosen.id
        returning j.id
    ), no_letters as (
        delete from monohull.dead_letters as letters using revived where letters.id = revived.id
    )
    select id, pg_notify('monohull_outbox', '') from revived
"""
_DELETE: Final = """
    with chosen as (
        select j.id from monohull.jobs as j
        where j.done_at is not null and {where}
        order by j.batch_id nulls first, j.position limit {limit} for update
    ), no_letters as (
        delete from monohull.dead_letters as letters using chosen where letters.id = chosen.id
    )
    delete from monohull.jobs as j using chosen where j.id = chosen.id returning j.id
"""

_PAUSE: Final = """
    insert into monohull.job_queue_pauses (queue, actor) values ($1, $2) on conflict (queue) do nothing
    returning queue
"""
_RESUME: Final = """
    with resumed as (
        delete from monohull.job_queue_pauses where queue = $1 returning queue
    ), again as (
        -- one that was fetched while the pause began has no message any more
        update monohull.jobs as j set dispatched_at = null, message = null
        from resumed
        where j.queue = resumed.queue and j.dispatched_at is not null and j.worker is null
            and j.done_at is null
    )
    select queue, pg_notify('monohull_outbox', '') from resumed
"""
_QUEUES: Final = """
    with undone as (
        select queue, count(*) filter (where worker is null and due_at <= now()) as waiting,
            count(*) filter (where worker is null and due_at > now()) as scheduled,
            count(*) filter (where worker is not null) as running,
            extract(epoch from now() - min(due_at) filter (where worker is null and due_at <= now()))::float8
                as oldest_seconds
        from (
            select queue, worker, due_at from monohull.jobs where dispatched_at is null and done_at is null
            union all
            select queue, worker, due_at from monohull.jobs
            where dispatched_at is not null and done_at is null
        ) as jobs
        group by queue
    ), names as (
        select queue from undone union select queue from monohull.job_types
        union select queue from monohull.job_queue_pauses union select unnest($1::text[])
    )
    select names.queue as name, coalesce(waiting, 0) as waiting, coalesce(scheduled, 0) as scheduled,
        coalesce(running, 0) as running, coalesce(oldest_seconds, 0) as oldest_seconds, pauses.paused_at
    from names left join undone using (queue) left join monohull.job_queue_pauses as pauses using (queue)
    order by names.queue
"""
_BATCH: Final = """
    select id, total, pending, succeeded, dead, cancelled, completion_name,
        case when completion_name is not null then completion_job_id end as completion_job_id,
        created_at, done_at
    from monohull.job_batches where id = $1
"""
_WITH_KEY: Final = "select id from monohull.jobs where name = $1 and key = $2 and done_at is null"


class Cancelled(Struct, frozen=True):
    """A job that somebody cancelled, and the attempt that has to be stopped, if one runs."""

    id: UUID
    attempt: int | None


class Changing:
    """The statements, in one unit of work.

    Args:
        session: Of it.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def cancel(self, chosen: Selection) -> list[Cancelled]:
        """End those that nobody is at, and mark those that a worker is to stop."""
        rows = await self._change(_CANCEL, chosen)
        return [Cancelled(row["id"], row["attempts"] if row["is_running"] else None) for row in rows]

    async def retry(self, chosen: Selection) -> list[UUID]:
        """Make dead and cancelled jobs due again, of each key the newest and none whose key is taken."""
        return [row["id"] for row in await self._change(_RETRY, chosen)]

    async def delete(self, chosen: Selection) -> list[UUID]:
        """Delete what is done."""
        return [row["id"] for row in await self._change(_DELETE, chosen)]

    async def pause(self, queue: str, actor: str | None) -> bool:
        """Return whether the queue was not paused before."""
        return bool(await self._fetch(_PAUSE, queue, actor))

    async def resume(self, queue: str) -> bool:
        """Return whether the queue was paused before."""
        return bool(await self._fetch(_RESUME, queue))

    async def queues(self, names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Count what is not done, by queue; ``names`` are shown also when there is nothing."""
        return await self._fetch(_QUEUES, list(names))

    async def batch(self, batch_id: UUID) -> Mapping[str, Any] | None:
        rows = await self._fetch(_BATCH, batch_id)
        return rows[0] if rows else None

    async def find_with_key(self, name: str, key: str) -> UUID | None:
        """Return the job of this name and key that is not done."""
        rows = await self._fetch(_WITH_KEY, name, key)
        return rows[0]["id"] if rows else None

    async def _change(self, statement: str, chosen: Selection) -> Sequence[Mapping[str, Any]]:
        conditions, values = conditions_of(chosen)
        where = " and ".join(conditions) or "true"
        return await self._fetch(statement.format(where=where, undone=UNDONE, limit=BATCH), *values)

    async def _fetch(self, query: str, *values: Any) -> Sequence[Mapping[str, Any]]:
        connection = await self._session.connection()
        result = await connection.exec_driver_sql(query, values)
        return [dict(row) for row in result.mappings()]
