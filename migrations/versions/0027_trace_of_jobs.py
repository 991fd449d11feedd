"""Jobs that SQL asks for go on with the trace of the request that runs it.

Revision ID: 0027
Revises: 0026

The headers of a request name the caller's part of a trace, if the caller has one at all. Where the trace is
recorded, the transaction has the setting ``monohull.traceparent``, which names the request's own part: the
job belongs below that.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0027"
down_revision: Final = "0026"
branch_labels: Final = None
depends_on: Final = None

ENQUEUE: Final = """
create or replace function monohull.enqueue(
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
            {request_id},
            {traceparent}
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
"""

REQUEST_ID: Final = "pg_catalog.substring(headers ->> 'x-request-id', '^[A-Za-z0-9._-]{1,128}$')"
PATTERN: Final = "'^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'"
OF_CALLER: Final = f"pg_catalog.substring(headers ->> 'traceparent', {PATTERN})"
OF_REQUEST: Final = f"""coalesce(
                pg_catalog.substring(pg_catalog.current_setting('monohull.traceparent', true), {PATTERN}),
                {OF_CALLER}
            )"""


def enqueue_with(traceparent: str) -> str:
    """Return the function that takes the trace from what is given."""
    return ENQUEUE.replace("{request_id}", REQUEST_ID).replace("{traceparent}", traceparent)


def upgrade() -> None:
    for statement in split(enqueue_with(OF_REQUEST)):
        op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    for statement in split(enqueue_with(OF_CALLER)):
        op.get_bind().exec_driver_sql(statement.text)
