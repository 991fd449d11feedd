"""Jobs: priorities, attempts, progress, cancelling, batches, pauses, and enqueuing from SQL.

Revision ID: 0017
Revises: 0016

An attempt gets its row when it has ended; the one that runs is in the job's own
row, so that a job costs one row more and not two writes. A batch counts by a
trigger, for whoever ends a job, and asks for its last job in the transaction in
which the last of the others ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import op

from monohull.kernel.database.sql_text import split

if TYPE_CHECKING:
    from collections.abc import Iterator

revision: Final = "0017"
down_revision: Final = "0016"
branch_labels: Final = None
depends_on: Final = None

TABLES: Final = """
alter table monohull.jobs
    add column priority smallint not null default 4
        constraint jobs_priority_known check (priority between 0 and 9),
    add column max_attempts integer constraint jobs_max_attempts_sane check (max_attempts > 0),
    add column attempts_before integer not null default 0,
    add column heartbeat_at timestamptz,
    add column progress real,
    add column progress_text text,
    add column result json,
    add column is_result_cut boolean not null default false,
    add column cancel_requested_at timestamptz,
    add column batch_id uuid,
    drop constraint jobs_outcome_known,
    add constraint jobs_outcome_known check (outcome in ('succeeded', 'dead', 'cancelled'));
drop index monohull.jobs_undispatched;
create index jobs_undispatched on monohull.jobs (queue, priority, due_at, position)
    where dispatched_at is null and done_at is null;
create index jobs_name on monohull.jobs (name, position);
create index jobs_unsuccessful on monohull.jobs (position) where outcome in ('dead', 'cancelled');
create index jobs_batch on monohull.jobs (batch_id, position) where batch_id is not null;
comment on column monohull.jobs.priority is 'The larger, the earlier among those that are due';
comment on column monohull.jobs.attempts_before is
    'Attempts before somebody asked for it again; the limit counts from there';

insert into monohull.jobs
    (id, name, queue, arguments, event_id, actor, request_id, attempts, error, created_at, due_at, done_at,
     outcome)
select id, name, queue, arguments, event_id, actor, request_id, attempts, error, died_at, died_at, died_at,
    'dead'
from monohull.dead_letters
on conflict do nothing;

create table monohull.job_attempts (
    job_id uuid not null
        constraint job_attempts_job references monohull.jobs (id) on delete cascade,
    number integer not null,
    started_at timestamptz not null,
    ended_at timestamptz not null default now(),
    worker text,
    outcome text not null constraint job_attempts_outcome_known
        check (outcome in ('succeeded', 'failed', 'cancelled', 'interrupted', 'lost')),
    error text,
    primary key (job_id, number, started_at)
);
revoke all on monohull.job_attempts from public;
comment on table monohull.job_attempts is 'How each attempt at a job ended';

create table monohull.job_types (
    name text primary key,
    queue text not null,
    priority smallint not null,
    is_public boolean not null,
    seen_at timestamptz not null default now()
);
revoke all on monohull.job_types from public;
comment on table monohull.job_types is 'The jobs that workers said they know';

create table monohull.job_queue_pauses (
    queue text primary key,
    paused_at timestamptz not null default now(),
    actor text
);
revoke all on monohull.job_queue_pauses from public;
comment on table monohull.job_queue_pauses is 'Queues from which nothing is begun for now';

create table monohull.job_batches (
    id uuid primary key,
    total integer not null,
    pending integer not null constraint job_batches_pending_sane check (pending between 0 and total),
    succeeded integer not null default 0,
    dead integer not null default 0,
    cancelled integer not null default 0,
    completion_name text,
    completion_queue text,
    completion_priority smallint,
    completion_arguments text,
    completion_job_id uuid,
    actor text,
    request_id text,
    traceparent text,
    created_at timestamptz not null default now(),
    done_at timestamptz
);
create index job_batches_done on monohull.job_batches (done_at) where done_at is not null;
revoke all on monohull.job_batches from public;
comment on table monohull.job_batches is 'Jobs that belong together, and the one that follows them';
"""

COUNTING: Final = """
create function monohull.count_in_batch() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    batch monohull.job_batches;
begin
    update monohull.job_batches as b set
        pending = b.pending + case when new.done_at is null then 1 else -1 end,
        succeeded = b.succeeded + (new.outcome is not distinct from 'succeeded')::integer
            - (old.outcome is not distinct from 'succeeded')::integer,
        dead = b.dead + (new.outcome is not distinct from 'dead')::integer
            - (old.outcome is not distinct from 'dead')::integer,
        cancelled = b.cancelled + (new.outcome is not distinct from 'cancelled')::integer
            - (old.outcome is not distinct from 'cancelled')::integer,
        done_at = case when new.done_at is not null and b.pending = 1 then pg_catalog.now() end
    where b.id = new.batch_id and b.done_at is null
    returning b.* into batch;
    if batch.done_at is not null and batch.completion_name is not null then
        insert into monohull.jobs
            (id, name, queue, priority, arguments, actor, request_id, traceparent)
        values (
            batch.completion_job_id, batch.completion_name, batch.completion_queue,
            batch.completion_priority,
            -- as text: jsonb would refuse the zero characters that json keeps
            ('{"batch":' || pg_catalog.json_build_object(
                'id', batch.id, 'total', batch.total, 'succeeded', batch.succeeded,
                'dead', batch.dead, 'cancelled', batch.cancelled
            )::text || case batch.completion_arguments
                when '{}' then '}' else ',' || pg_catalog.substr(batch.completion_arguments, 2) end)::json,
            batch.actor, batch.request_id, batch.traceparent
        );
        perform pg_catalog.pg_notify('monohull_outbox', '');
    end if;
    return null;
end
$$;
revoke execute on function monohull.count_in_batch() from public;
create trigger monohull_count_in_batch after update of done_at on monohull.jobs
    for each row when (new.batch_id is not null and (old.done_at is null) <> (new.done_at is null))
    execute function monohull.count_in_batch();
"""

ENQUEUE: Final = """
create function monohull.enqueue(
    name text,
    arguments jsonb default '{}',
    queue text default null,
    priority integer default null,
    delay interval default null,
    due_at timestamptz default null,
    key text default null,
    max_attempts integer default null
) returns uuid
    language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
    known monohull.job_types;
    claims json := nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::json;
    headers json := nullif(pg_catalog.current_setting('request.headers', true), '')::json;
    job_id uuid := pg_catalog.gen_random_uuid();
    found_id uuid;
begin
    select * into known from monohull.job_types as t where t.name = enqueue.name and t.is_public;
    if not found then
        raise exception 'no job called % may be asked for from outside',
            pg_catalog.quote_nullable(enqueue.name)
            using errcode = '22023', hint = 'Declare it with @job(..., is_public=True), and start a worker.';
    end if;
    if pg_catalog.jsonb_typeof(enqueue.arguments) is distinct from 'object'
        or pg_catalog.octet_length(enqueue.arguments::text) > 262144 then
        raise exception 'the arguments of a job are one JSON object of at most 262144 bytes'
            using errcode = '22023', hint = 'Give ids, and let the job read what they name.';
    end if;
    if enqueue.queue is not null
        and not exists (select from monohull.job_types as t where t.queue = enqueue.queue) then
        raise exception 'no worker serves the queue %', pg_catalog.quote_literal(enqueue.queue)
            using errcode = '22023', hint = 'Leave it out, and the job takes its own.';
    end if;
    if enqueue.priority not between 0 and 9 or enqueue.max_attempts not between 1 and 1000
        or enqueue.delay < interval '0' or enqueue.delay > interval '3660 days'
        or enqueue.due_at > pg_catalog.now() + interval '3660 days'
        or (enqueue.delay is not null and enqueue.due_at is not null)
        or pg_catalog.length(enqueue.key) not between 1 and 255 or enqueue.key like 'cron:%' then
        raise exception 'an option of the job cannot be' using errcode = '22023',
            hint = 'priority is 0 to 9, max_attempts 1 to 1000, a key has 1 to 255 characters and does not '
                'begin with cron:, and one of delay and due_at says when, within ten years.';
    end if;
    loop
        insert into monohull.jobs
            (id, name, queue, priority, arguments, key, max_attempts, due_at, actor, request_id, traceparent)
        values (
            job_id, known.name, coalesce(enqueue.queue, known.queue),
            coalesce(enqueue.priority, known.priority), enqueue.arguments::json, enqueue.key,
            enqueue.max_attempts,
            greatest(enqueue.due_at, pg_catalog.now() + enqueue.delay, pg_catalog.now()),
            claims ->> 'sub',
            pg_catalog.substring(headers ->> 'x-request-id', '^[A-Za-z0-9._-]{1,128}$'),
            pg_catalog.substring(headers ->> 'traceparent', '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$')
        )
        on conflict (name, key) where key is not null and done_at is null do nothing;
        if found then
            perform pg_catalog.pg_notify('monohull_outbox', '');
            return job_id;
        end if;
        select j.id into found_id from monohull.jobs as j
            where j.name = known.name and j.key = enqueue.key and j.done_at is null;
        if found then
            return found_id;
        end if;
    end loop;
end
$$;
revoke execute on function
    monohull.enqueue(text, jsonb, text, integer, interval, timestamptz, text, integer) from public;
grant execute on function
    monohull.enqueue(text, jsonb, text, integer, interval, timestamptz, text, integer) to service_role;
comment on function
    monohull.enqueue(text, jsonb, text, integer, interval, timestamptz, text, integer) is
    'Promise that a job runs once this transaction is committed; returns the id, also of one with the key';
"""

DOWN: Final = """
drop function monohull.enqueue(text, jsonb, text, integer, interval, timestamptz, text, integer);
drop trigger monohull_count_in_batch on monohull.jobs;
drop function monohull.count_in_batch();
drop table monohull.job_batches;
drop table monohull.job_queue_pauses;
drop table monohull.job_types;
drop table monohull.job_attempts;
drop index monohull.jobs_name;
drop index monohull.jobs_unsuccessful;
drop index monohull.jobs_batch;
drop index monohull.jobs_undispatched;
create index jobs_undispatched on monohull.jobs (due_at, position)
    where dispatched_at is null and done_at is null;
delete from monohull.jobs where outcome = 'cancelled';
alter table monohull.jobs
    drop column priority, drop column max_attempts, drop column attempts_before, drop column heartbeat_at,
    drop column progress, drop column progress_text, drop column result, drop column is_result_cut,
    drop column cancel_requested_at, drop column batch_id,
    drop constraint jobs_outcome_known,
    add constraint jobs_outcome_known check (outcome in ('succeeded', 'dead'));
"""


def upgrade() -> None:
    for statement in _statements(TABLES, COUNTING, ENQUEUE):
        op.execute(statement)


def downgrade() -> None:
    for statement in _statements(DOWN):
        op.execute(statement)


def _statements(*texts: str) -> Iterator[str]:
    for text in texts:
        yield from (statement.text for statement in split(text))
