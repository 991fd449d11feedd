"""What the relay does in one round, over its own connection.

    events in commit order → numbers, and one delivery job per subscriber, in one transaction
    schedules that came due → a run and a job each (`schedules`)
    jobs that are due → messages in Redis, then marked as dispatched
    messages that Redis forgot → jobs that are due again

Each step may be cut off anywhere and repeated: what was enqueued twice carries
the same id and the same count of attempts, and the ledger lets it begin once.
"""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import msgspec
from asyncpg import StatementTooComplexError, UniqueViolationError

from monohull.kernel.feed import MESSAGE_BYTES
from monohull.kernel.housekeeping import KERNEL_CRONS, KERNEL_JOBS, deliver_event
from monohull.kernel.lane import living_workers
from monohull.kernel.queues import Cron, Job, JobError, Queues, new_message
from monohull.kernel.rows import ROW_EVENTS
from monohull.kernel.schedules import check_schedules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import asyncpg
    from saq.job import Job as Message

    from monohull.kernel.events import EventRegistry
    from monohull.kernel.module import Module

BATCH: Final = 500
WINDOW_ROUNDS: Final = 2
"""How many jobs per slot of a queue's workers wait in Redis; what is more urgent overtakes all others."""
SILENCE_SECONDS: Final = 8.0
"""After so long without a heartbeat in the ledger an attempt may be lost; more than one is missing then."""
CLAIM_GRACE_SECONDS: Final = 5.0
"""A claim younger than this may not have been in the heartbeat yet; the next look will tell."""
PROMISED_RETRIES: Final = 1_000_000
"""SAQ's own count never ends a promised job: the ledger does."""

FORGET_AT_ONCE: Final = -1
"""Redis keeps nothing of a message that ended, so that one without an entry in the ledger is missed."""

_ANY_EVENT: Final = """
    select exists (select from monohull.outbox where sequence is null)
        or exists (select from monohull.row_changes)
"""

_LOCK_END: Final = "select sequence from monohull.feed_end for update"
"""What follows it in the transaction sees all that was relayed before, also by a relay that lost its lock."""

_INTO: Final = """
        insert into monohull.outbox as o
            (id, transaction_id, name, version, key, actor, request_id, traceparent, payload, occurred_at,
             is_audited, watchers, sequence, relayed_at)
"""
_EVENTS: Final = f"""
    with waiting as (
        (select position, 1 as events from monohull.outbox where sequence is null order by position limit $1)
        union all
        (select position, events from monohull.row_changes order by position limit $1)
    ), counted as (
        select position, sum(events) over (order by position) - events as before from waiting
    ), next as (
        select position, feed_end.sequence + before as before
        from counted, monohull.feed_end where before < $1
    ), numbered as (
        update monohull.outbox as o set sequence = next.before + 1, relayed_at = now()
        from next where o.position = next.position and o.sequence is null
        returning o.sequence, o.id, o.name, o.actor, o.request_id, o.traceparent
    ), told as ({_INTO}
        select gen_random_uuid(), e.transaction_id, e.name, 1, e.key, e.actor, e.request_id, e.traceparent,
               e.payload, e.occurred_at, false, e.watchers, next.before + e.nth, now()
        from next join monohull.row_events as e on e.position = next.position
        order by next.before, e.nth
        returning o.sequence, o.id, o.name, o.actor, o.request_id, o.traceparent
    ), gone as (
        delete from monohull.row_changes as c using next where c.position = next.position
    ), ends as (
        select count(*) as events, max(sequence) as sequence
        from (select sequence from numbered union all select sequence from told) as parts
    ), moved as (
        update monohull.feed_end as f set sequence = ends.sequence from ends where ends.events > 0
        returning pg_notify('monohull_feed', '')
    )
    select ends.events, heard.*
    from ends left join (select * from numbered union all select * from told where $2) as heard on true
    where ends.events > 0 and (select count(*) from moved) = 1
"""  # noqa: S608 our own
"""What is visible is committed, and what was not visible before was committed after it: so rounds follow each
other in the order of commits. Within one, positions do: who had to wait for a row took a later one. What a
statement did to a watched table has one position; its rows become events here, never in two rounds. They
are returned only where somebody subscribed to some: nobody else asks for them here."""

_WHOLE: Final = "case when {0}::text ^@ '[' then {0} -> 0 else {0} end"
"""A row that was cut stands in an array of its own."""
_ROWS_ALONE: Final = f"""
    with gone as (
        delete from monohull.row_changes where position = any (array(
            select position
            from (
                select position, sum(events) over (order by position) - events as before
                from (
                    select position, events from monohull.row_changes
                    where not exists (select from monohull.outbox where sequence is null)
                    order by position limit {BATCH}
                ) as waiting
            ) as counted
            where before < {BATCH}
        ))
        returning *
    ), counted as (
        select *, (select sequence from monohull.feed_end) + sum(events) over (order by position) - events
            as before
        from gone
    ), told as ({_INTO}
        select gen_random_uuid(), c.transaction_id, 'rows.' || case c.operation
                when 'INSERT' then 'inserted' when 'UPDATE' then 'updated' else 'deleted' end, 1,
            c.schema_name || '.' || c.table_name || ':' || case
                when cardinality(c.keys) = 1 then about.record ->> c.keys[1]
                else (
                    select case when bool_and(part.value is not null)
                        then string_agg(part.value, ',' order by part.place) end
                    from (
                        select about.record ->> named.key as value, named.place
                        from unnest(c.keys) with ordinality as named (key, place)
                    ) as part
                ) end,
            c.actor, c.request_id, c.traceparent,
            case when about.is_cut
                then json_build_object('type', c.operation, 'schema', c.schema_name, 'table', c.table_name,
                    'record', {_WHOLE.format("each.record")},
                    'old_record', {_WHOLE.format("each.old_record")}, 'is_cut', true)
                else json_build_object('type', c.operation, 'schema', c.schema_name, 'table', c.table_name,
                    'record', each.record, 'old_record', each.old_record) end,
            c.occurred_at, false, coalesce(c.watchers, each.watchers::text[]), c.before + each.nth, now()
        from counted as c
        cross join lateral unnest(c.rows, c.old_rows, c.each_watchers) with ordinality
            as each (record, old_record, watchers, nth)
        cross join lateral (
            select {_WHOLE.format("coalesce(each.record, each.old_record)")} as record,
                each.record::text ^@ '[' or each.old_record::text ^@ '[' as is_cut
        ) as about
        order by c.before, each.nth
        returning o.sequence, o.watchers
    ), ends as (
        select count(*) as events, max(sequence) as sequence from told
    ), whom as (
        select case when bool_and(one.watcher is not null)
            then string_agg(distinct split_part(one.watcher, ':', 1), ',') end as modules
        from (select distinct watchers from told) as kinds
        left join lateral unnest(kinds.watchers) as one (watcher) on true
    ), moved as (
        update monohull.feed_end as f set sequence = ends.sequence from ends, whom where ends.events > 0
        returning pg_notify('monohull_feed', case when octet_length(whom.modules) < {MESSAGE_BYTES}
            then whom.modules else '' end)
    )
    select ends.events from ends where ends.events > 0 and (select count(*) from moved) = 1
"""  # noqa: S608 our own
"""The same for events of rows, if nothing else waits and nobody has to be promised any: by itself, without a
lock. A relay that lost its own, and goes on, begins with the same number, of which there can be only one.
What the view `monohull.row_events` says of a row is said here of what is deleted, which so is read once.
It is planned once, when the tables may be empty or full: so what is deleted is found by an array of
positions, which leaves no choice but the index."""

_WITHOUT_KEY: Final = ("e.key", "null")
"""For rows with JSON that is nested deeper than PostgreSQL reads here: such are told, in no order."""
_IDS_IN_ORDER: Final = ("gen_random_uuid()", "uuidv7()")
"""What PostgreSQL 18 can: ids that follow each other stand side by side in the index."""
_IDS_IN_ORDER_SINCE: Final = 18

_DELIVERIES: Final = """
    insert into monohull.jobs (id, name, queue, arguments, event_id, actor, request_id, traceparent)
    select new.id, $1, $2, new.arguments::json, new.event_id, new.actor, new.request_id, new.traceparent
    from unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[])
        with ordinality as new (id, arguments, event_id, actor, request_id, traceparent, nth)
    order by new.nth
    on conflict (id) do nothing
"""

_WAITING: Final = """
    with recursive found as (
        (select queue from monohull.jobs where dispatched_at is null and done_at is null
         order by queue limit 1)
        union all
        select (select queue from monohull.jobs
                where queue > found.queue and dispatched_at is null and done_at is null
                order by queue limit 1)
        from found where found.queue is not null
    )
    select queue from found
    where queue is not null and not exists (
        select from monohull.job_queue_pauses as pauses where pauses.queue = found.queue)
"""
"""A step of the index a queue, however many jobs wait in it."""

_DUE: Final = """
    select due.*
    from unnest($1::text[], $2::int[]) as wanted (queue, room)
    cross join lateral (
        select jobs.*
        from generate_series(9, 0, -1) as level (priority)
        cross join lateral (
            select id, name, queue, arguments, attempts, actor, request_id, traceparent, priority, due_at,
                   position
            from monohull.jobs
            where queue = wanted.queue and priority = level.priority
                and dispatched_at is null and done_at is null and due_at <= now()
            order by due_at, position
            limit wanted.room
        ) as jobs
        order by jobs.priority desc, jobs.due_at, jobs.position
        limit wanted.room
    ) as due
"""

_DISPATCHED: Final = """
    with sent as (
        select jobs.id, sent.message
        from unnest($1::uuid[], $2::int[], $3::text[]) as sent (id, attempts, message)
        join monohull.jobs as jobs
            on jobs.id = sent.id and jobs.attempts = sent.attempts
            and jobs.dispatched_at is null and jobs.done_at is null
        -- what somebody changes at this moment is sent again under the same key, which Redis knows
        for update of jobs skip locked
    )
    update monohull.jobs as jobs set dispatched_at = now(), message = sent.message
    from sent where jobs.id = sent.id
"""

_UNREADABLE: Final = """
    update monohull.jobs set done_at = now(), outcome = 'dead', error = $2
    where id = $1 and done_at is null and dispatched_at is null
"""

_OUTSTANDING: Final = """
    select position, id, queue, message, attempts, worker, dispatched_at,
           extract(epoch from now() - started_at)::float8 as running_seconds,
           extract(epoch from now() - heartbeat_at)::float8 as silent_seconds
    from monohull.jobs
    where dispatched_at is not null and done_at is null and position > $1
    order by position
    limit $2
"""

_RETURNED: Final = """
    with lost as (
        select jobs.id, jobs.attempts, jobs.worker, jobs.started_at, jobs.cancel_requested_at
        from monohull.jobs as jobs
        join unnest($1::uuid[], $2::int[], $3::timestamptz[]) as lost (id, attempts, dispatched_at)
            on jobs.id = lost.id and jobs.attempts = lost.attempts
            and jobs.dispatched_at = lost.dispatched_at and jobs.done_at is null
        for update of jobs skip locked
    ), noted as (
        insert into monohull.job_attempts (job_id, number, worker, started_at, outcome, error)
        select id, attempts, worker, started_at, 'lost', 'its worker is gone' from lost
        where worker is not null
        on conflict do nothing
    )
    update monohull.jobs as jobs
    set dispatched_at = null, message = null, worker = null, heartbeat_at = null, due_at = now(),
        done_at = case when lost.cancel_requested_at is not null then now() end,
        outcome = case when lost.cancel_requested_at is not null then 'cancelled' end
    from lost where jobs.id = lost.id
    returning jobs.id
"""


class Dispatch(msgspec.Struct, frozen=True):
    """What one round of dispatching did.

    Attributes:
        sent: How many jobs went to Redis.
        is_held: Whether there may be more that are due, held back until workers have taken some.
    """

    sent: int
    is_held: bool


class Duties(msgspec.Struct, frozen=True):
    """What a worker process can do: its events, jobs and schedules."""

    events: EventRegistry
    jobs: Mapping[str, Job]
    crons: tuple[Cron, ...]


def duties_of(modules: Iterable[Module], events: EventRegistry) -> Duties:
    """Collect what ``modules`` and the kernel itself declare.

    Raises:
        JobError: Two jobs have one name, or a schedule cannot be read.
    """
    modules = tuple(modules)
    jobs: dict[str, Job] = {}
    for job in (*KERNEL_JOBS, *(job for module in modules for job in module.jobs)):
        if jobs.setdefault(job.name, job) is not job:
            raise JobError(f"two jobs are called {job.name!r}")
    crons = (*KERNEL_CRONS, *(cron for module in modules for cron in module.cron))
    check_schedules(crons)
    return Duties(events, jobs, crons)


async def relay_rows(connection: asyncpg.Connection, registry: EventRegistry) -> int:
    """Number the next events, if all are of rows and nobody subscribed to such; return how many there were.

    One statement does it, where `relay_events` takes five: what is right to ask first while much is written.
    It is 0 also when there are others, or when it was not alone.
    """
    if _are_rows_heard_of(registry):
        return 0
    try:
        return await connection.fetchval(_fit(_ROWS_ALONE, connection)) or 0
    except (StatementTooComplexError, UniqueViolationError):
        return 0


async def relay_events(connection: asyncpg.Connection, registry: EventRegistry) -> int:
    """Number the next events and turn them into deliveries; return how many there were.

    They are `BATCH`, or fewer if there are no more; if the last of them is of many rows, they are more.
    """
    if not await connection.fetchval(_ANY_EVENT):
        return 0
    try:
        return await _relay(connection, registry, BATCH)
    except StatementTooComplexError:
        return await _relay_one_by_one(connection, registry)


async def _relay_one_by_one(connection: asyncpg.Connection, registry: EventRegistry) -> int:
    """Relay the next `BATCH` events, and give no key to those of rows that cannot be read."""
    relayed, before = 0, -1
    while before < relayed < BATCH:
        before = relayed
        try:
            relayed += await _relay(connection, registry, 1)
        except StatementTooComplexError:
            relayed += await _relay(connection, registry, 1, has_keys=False)
    return relayed


async def _relay(
    connection: asyncpg.Connection, registry: EventRegistry, limit: int, *, has_keys: bool = True
) -> int:
    query = _EVENTS if has_keys else _EVENTS.replace(*_WITHOUT_KEY)
    async with connection.transaction():
        await connection.execute(_LOCK_END)
        rows = await connection.fetch(_fit(query, connection), limit, _are_rows_heard_of(registry))
        if not rows:
            return 0
        heard = [row for row in rows if row["sequence"] is not None]
        heard.sort(key=itemgetter("sequence"))
        await _deliver(connection, registry, heard)
    relayed: int = rows[0]["events"]
    return relayed


def _fit(query: str, connection: asyncpg.Connection) -> str:
    """Return the statement as the server can do it best."""
    if connection.get_server_version().major >= _IDS_IN_ORDER_SINCE:
        return query.replace(*_IDS_IN_ORDER)
    return query


def _are_rows_heard_of(registry: EventRegistry) -> bool:
    """Whether deliveries of events of rows have to be promised."""
    return any(registry.matching(event.name) for event in ROW_EVENTS)


async def _deliver(
    connection: asyncpg.Connection, registry: EventRegistry, events: Sequence[Mapping[str, Any]]
) -> None:
    """Promise one delivery to each subscriber of each event."""
    deliveries = [
        (uuid5(event["id"], subscriber.name), _delivery_arguments(event["id"], subscriber.name), event)
        for event in events
        for subscriber in registry.matching(event["name"])
    ]
    if not deliveries:
        return
    await connection.execute(
        _DELIVERIES,
        deliver_event.name,
        deliver_event.queue,
        [job_id for job_id, _, _ in deliveries],
        [arguments for _, arguments, _ in deliveries],
        [event["id"] for _, _, event in deliveries],
        *([event[column] for _, _, event in deliveries] for column in ("actor", "request_id", "traceparent")),
    )


def _delivery_arguments(event_id: UUID, subscriber: str) -> str:
    return msgspec.json.encode({"event_id": event_id, "subscriber": subscriber}).decode()


async def dispatch_jobs(
    connection: asyncpg.Connection, queues: Queues, jobs: Mapping[str, Job], *, slots: int = BATCH
) -> Dispatch:
    """Send the next due jobs to Redis and mark them.

    Redis holds no more of a queue than its workers begin soon, since what is there is begun in the order in
    which it came. The rest waits in the ledger, where the most urgent is found first.

    Args:
        connection: The relay's own.
        queues: Where jobs go.
        jobs: By name, for their time-outs.
        slots: How many jobs one worker runs at a time, per queue.

    Raises:
        RedisError: Redis is away; nothing was marked.
    """
    waiting = [row["queue"] for row in await connection.fetch(_WAITING)]
    if not waiting:
        return Dispatch(0, is_held=False)
    rooms = await _rooms(queues, waiting, slots)
    open_ = [name for name in waiting if rooms[name] > 0]
    rows = await connection.fetch(_DUE, open_, [rooms[name] for name in open_]) if open_ else []
    if rows:
        await _send(connection, queues, jobs, rows)
    sent = Counter(row["queue"] for row in rows)
    return Dispatch(len(rows), is_held=any(sent[name] >= rooms[name] for name in waiting))


async def _rooms(queues: Queues, names: list[str], slots: int) -> dict[str, int]:
    """Return how many further jobs of each queue Redis should hold."""
    async with queues.redis.pipeline(transaction=False) as pipe:
        for name in names:
            queues.lane(name).ask_load(pipe)
        answers = await pipe.execute()
    return {
        name: min(BATCH, WINDOW_ROUNDS * slots * max(workers, 1)) - queued
        for name, queued, workers in zip(names, answers[::2], answers[1::2], strict=True)
    }


async def _send(
    connection: asyncpg.Connection, queues: Queues, jobs: Mapping[str, Job], rows: list[Any]
) -> None:
    sent: list[tuple[Any, Message]] = []
    for row in rows:
        try:
            message = _message(row, jobs)
        except (msgspec.DecodeError, RecursionError) as error:
            # PostgreSQL takes numbers as JSON that nobody else does; one such job holds up no other
            await connection.execute(_UNREADABLE, row["id"], f"the arguments cannot be read: {error}")
            continue
        sent.append((row, message))
    for name in dict.fromkeys(row["queue"] for row, _ in sent):
        # in the order in which they are due, which is the one in which a queue begins them
        await queues.lane(name).enqueue_all([message for row, message in sent if row["queue"] == name])
    await connection.execute(
        _DISPATCHED,
        [row["id"] for row, _ in sent],
        [row["attempts"] for row, _ in sent],
        [message.key for _, message in sent],
    )


def _message(row: Mapping[str, Any], jobs: Mapping[str, Job]) -> Message:
    job = jobs.get(row["name"]) or Job(name=row["name"], function=_unknown)
    meta = {
        "job_id": str(row["id"]),
        "attempts": row["attempts"],
        "actor": row["actor"],
        "request_id": row["request_id"],
        "traceparent": row["traceparent"],
    }
    key = f"{row['id']}:{row['attempts']}"
    message = new_message(job, msgspec.json.decode(row["arguments"]), key=key, meta=meta)
    message.retries = PROMISED_RETRIES
    message.ttl = FORGET_AT_ONCE
    return message


async def _unknown(_: Any, **__: Any) -> None:
    """Stand for a job that this version does not know; it is sent on, and never run here."""


async def return_lost(connection: asyncpg.Connection, queues: Queues) -> int:
    """Make jobs due again whose message Redis lost and that no living worker is at; return how many.

    Raises:
        RedisError: Redis is away; nothing was changed.
    """
    position, returned = 0, 0
    while rows := await connection.fetch(_OUTSTANDING, position, BATCH):
        lost = await _without_message(queues, rows)
        alive = await living_workers(queues.redis, {row["worker"] for row in lost if row["worker"]})
        gone = [row for row in lost if not _is_at_work(row, alive)]
        if gone:
            found = await connection.fetch(
                _RETURNED, *([row[column] for row in gone] for column in ("id", "attempts", "dispatched_at"))
            )
            returned += len(found)
        position = rows[-1]["position"]
    return returned


async def _without_message(queues: Queues, rows: list[Any]) -> list[Any]:
    async with queues.redis.pipeline(transaction=False) as pipe:
        for row in rows:
            _ = pipe.exists(queues.lane(row["queue"]).job_id(row["message"] or ""))
        exist = await pipe.execute()
    return [row for row, exists in zip(rows, exist, strict=True) if not exists]


def _is_at_work(row: Mapping[str, Any], alive: Mapping[str, frozenset[str]]) -> bool:
    """Whether the worker that claimed the job lives and says that it is at it, or has just begun.

    A Redis that forgot everything knows of no worker for a moment; the ledger does.
    """
    if row["worker"] is None:
        return False
    if row["worker"] not in alive:
        silent = row["silent_seconds"]
        return silent is not None and silent < SILENCE_SECONDS
    is_fresh = (row["running_seconds"] or 0.0) < CLAIM_GRACE_SECONDS
    return is_fresh or str(row["id"]) in alive[row["worker"]]
