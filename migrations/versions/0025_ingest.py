"""Ingest: sources of messages in brokers, the ids of messages seen, and messages set aside.

Revision ID: 0025
Revises: 0024

The id of a message is written into ``ingest_seen`` in the transaction of its effect: whatever is delivered
twice meets it there. Messages for a table are inserted with the login of data requests, which has no rights
in this schema; the two functions that it needs are opened to it alone, and ask for the ticket of the source,
which nobody reads but the worker. ``ingest_seen`` has no foreign key: a source may have millions of them,
and each goes when its time is over.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0025"
down_revision: Final = "0024"
branch_labels: Final = None
depends_on: Final = None

TABLES = """
create table monohull.ingest_sources (
    id uuid not null constraint pk_ingest_sources primary key,
    name text not null constraint ck_ingest_sources_name check (name <> ''),
    kind text not null,
    address text not null,
    origin jsonb not null,
    sealed_origin text not null,
    destination jsonb not null,
    id_field text,
    batch_size integer not null,
    max_attempts integer not null,
    retry_base_seconds double precision not null,
    retry_max_seconds double precision not null,
    is_paused boolean not null default false,
    revision integer not null default 1,
    ticket uuid not null default gen_random_uuid(),
    taken bigint not null default 0,
    duplicates bigint not null default 0,
    last_taken_at timestamptz,
    lag bigint,
    lag_at timestamptz,
    consecutive_failures integer not null default 0,
    failing_since timestamptz,
    last_error text,
    last_error_at timestamptz,
    next_attempt_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table monohull.ingest_seen (
    source_id uuid not null,
    message_id text not null,
    seen_at timestamptz not null default now(),
    constraint pk_ingest_seen primary key (source_id, message_id)
);
create index ix_ingest_seen_seen_at on monohull.ingest_seen (seen_at);

create table monohull.ingest_letters (
    id uuid not null constraint pk_ingest_letters primary key,
    source_id uuid not null
        constraint fk_ingest_letters_source_id references monohull.ingest_sources (id) on delete cascade,
    message_id text not null,
    place text not null,
    key text,
    headers jsonb not null default '{}',
    body bytea not null,
    state text not null
        constraint ck_ingest_letters_state check (state in ('retrying', 'dead', 'done')),
    attempts integer not null,
    due_at timestamptz,
    reason text not null,
    message text not null,
    received_at timestamptz not null default now(),
    finished_at timestamptz,
    constraint ck_ingest_letters_finished check ((state = 'retrying') = (finished_at is null))
);
create index ix_ingest_letters_source_id on monohull.ingest_letters (source_id, id);
create index ix_ingest_letters_due on monohull.ingest_letters (source_id, due_at) where state = 'retrying';
create index ix_ingest_letters_finished_at on monohull.ingest_letters (finished_at)
    where finished_at is not null;

create function monohull.ingest_mark(source uuid, pass uuid, ids text[]) returns text[]
    language plpgsql security definer set search_path = '' as $$
declare
    fresh text[];
begin
    perform from monohull.ingest_sources as s where s.id = source and s.ticket = pass;
    if not found then
        raise insufficient_privilege using message = 'this is not the ticket of the source';
    end if;
    with marked as (
        insert into monohull.ingest_seen (source_id, message_id)
        select source, given.id from pg_catalog.unnest(ids) as given (id) order by given.id
        on conflict do nothing
        returning message_id
    )
    select pg_catalog.array_agg(message_id) into fresh from marked;
    return coalesce(fresh, '{}');
end $$;

create function monohull.ingest_settle(source uuid, pass uuid, letter uuid) returns boolean
    language plpgsql security definer set search_path = '' as $$
begin
    update monohull.ingest_letters as l
    set state = 'done', finished_at = pg_catalog.now(), due_at = null
    from monohull.ingest_sources as s
    where l.id = letter and l.source_id = source and l.state = 'retrying'
        and s.id = source and s.ticket = pass;
    return found;
end $$;

revoke all on function monohull.ingest_mark(uuid, uuid, text[]) from public;
revoke all on function monohull.ingest_settle(uuid, uuid, uuid) from public;
grant execute on function monohull.ingest_mark(uuid, uuid, text[]) to authenticator;
grant execute on function monohull.ingest_settle(uuid, uuid, uuid) to authenticator;
"""

DESCRIBED = {
    "ingest_sources": "Where messages are taken from, what becomes of them, and how that goes.",
    "ingest_seen": "Ids of messages that had their effect or were set aside, so that none has it twice.",
    "ingest_letters": "Messages that could not have their effect: tried again, given up, or settled since.",
}

SEEING: Final = ("ingest.sources:read", "ingest.letters:read", "ingest.letters:replay")


def upgrade() -> None:
    for statement in split(TABLES):
        op.get_bind().exec_driver_sql(statement.text)
    for name, description in DESCRIBED.items():
        op.execute(f"alter table monohull.{name} enable row level security")
        op.execute(f"revoke all on monohull.{name} from public")
        op.execute(f"comment on table monohull.{name} is $text${description}$text$")
    _give("admin", "ingest.*")
    for permission in SEEING:
        _give("developer", permission)


def _give(role: str, permission: str) -> None:
    op.execute(
        f"update monohull.roles set permissions = array_append(permissions, '{permission}') "
        f"where name = '{role}' and is_builtin and not '{permission}' = any (permissions) "
        "and not '*' = any (permissions)"
    )


def downgrade() -> None:
    for permission in ("ingest.*", *SEEING):
        op.execute(
            f"update monohull.roles set permissions = array_remove(permissions, '{permission}') "
            "where is_builtin"
        )
    op.execute("drop function monohull.ingest_settle(uuid, uuid, uuid)")
    op.execute("drop function monohull.ingest_mark(uuid, uuid, text[])")
    for name in reversed(DESCRIBED):
        op.execute(f"drop table monohull.{name}")
