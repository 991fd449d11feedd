"""Calls of functions that their clients did not wait for.

Revision ID: 0022
Revises: 0021

The answer is kept by the transaction that the function runs in: `keep_answer` is its last statement, as
``service_role``. So a function whose worker died is called again only if nothing of it took effect.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0022"
down_revision: Final = "0021"
branch_labels: Final = None
depends_on: Final = None

UP: Final = """
create table monohull.async_calls (
    id uuid not null constraint pk_async_calls primary key,
    job_id uuid not null constraint uq_async_calls_job_id unique
        constraint fk_async_calls_job_id references monohull.jobs (id) on delete cascade,
    caller text not null,
    function text not null,
    request bytea,
    answer text,
    status smallint,
    content_type text,
    encoding text,
    result text,
    refusal json
);
create index ix_async_calls_caller on monohull.async_calls (caller) where request is not null;
alter table monohull.async_calls enable row level security;
revoke all on monohull.async_calls from public;
comment on table monohull.async_calls is
    'Calls with Prefer: respond-async: what is to be run, and what came of it; the rest is with its job.';

create function monohull.keep_answer(call uuid, answer text) returns void
    language plpgsql security definer set search_path = '' as $$
declare
    most_bytes constant integer := 4194304;
begin
    if pg_catalog.octet_length(answer) > most_bytes then
        raise exception 'The answer has % bytes; % are kept of a call that nobody waits for.',
            pg_catalog.octet_length(answer), most_bytes
            using errcode = 'program_limit_exceeded',
                hint = 'Ask for fewer rows or columns, or have the function write them into a table.';
    end if;
    -- whoever ends the job waits until this transaction is over, and then finds an answer
    perform from monohull.jobs as j join monohull.async_calls as c on c.job_id = j.id
    where c.id = call and j.done_at is null for share of j;
    if found then
        update monohull.async_calls as c set answer = keep_answer.answer
        where c.id = call and c.request is not null and c.answer is null;
    end if;
    if not found then
        raise exception 'This call is over.' using errcode = 'MHEND';
    end if;
end
$$;
revoke execute on function monohull.keep_answer(uuid, text) from public;
grant execute on function monohull.keep_answer(uuid, text) to service_role;
comment on function monohull.keep_answer(uuid, text) is
    'Keep what a function answered, in its own transaction; an error, which undoes it, if the call is over.';
"""

DOWN: Final = """
drop function monohull.keep_answer(uuid, text);
drop table monohull.async_calls;
"""


def upgrade() -> None:
    for statement in split(UP):
        op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    for statement in split(DOWN):
        op.get_bind().exec_driver_sql(statement.text)
