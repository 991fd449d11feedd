"""Queues for programs that bring their own workers, with the verbs of pgmq, in plain SQL.

Revision ID: 0019
Revises: 0018

The schemas ``pgmq`` and ``pgmq_public`` are made where neither exists. A database
that has one of them, with the pgmq extension or from somebody else, keeps it as
it is, and nothing here is made; the comment on the schema says whose it is.

Functions run as whoever calls them, and a queue is two tables: what a role may do
with a queue is what grants and row security let it do with ``pgmq.q_NAME`` and
``pgmq.a_NAME``. A new queue is open to nobody but its owner and ``service_role``.

Names, arguments and results are those of pgmq 1.4 and of Supabase's wrappers.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.errors import AdministratorNeeded
from monohull.kernel.database.server import API_ROLES, quote_name
from monohull.kernel.database.sql_text import split

revision: Final = "0019"
down_revision: Final = "0018"
branch_labels: Final = None
depends_on: Final = None

MARK: Final = "Queues of Monohull, with the verbs of pgmq."
ROLES: Final = ("admin", "developer")

TABLES: Final = """
create table pgmq.meta (
    queue_name varchar not null constraint pk_meta primary key,
    is_partitioned boolean not null default false,
    is_unlogged boolean not null default false,
    created_at timestamptz not null default now()
);
alter table pgmq.meta enable row level security;
create type pgmq.message_record as (
    msg_id bigint, read_ct integer, enqueued_at timestamptz, vt timestamptz, message jsonb
);
create type pgmq.queue_record as (
    queue_name varchar, is_partitioned boolean, is_unlogged boolean, created_at timestamptz
);
create type pgmq.metrics_result as (
    queue_name text, queue_length bigint, newest_msg_age_sec integer, oldest_msg_age_sec integer,
    total_messages bigint, scrape_time timestamptz
);
"""

STEERING: Final = r"""
create function pgmq.validate_queue_name(queue_name text) returns void
    language plpgsql immutable set search_path = '' as $$
begin
    if queue_name is null or queue_name !~ '^[A-Za-z0-9_][A-Za-z0-9_-]{0,46}$' then
        raise exception using errcode = '22023',
            message = pg_catalog.format('"%s" is no name of a queue', queue_name),
            hint = 'Use up to 47 letters, digits, underscores and hyphens.';
    end if;
end
$$;

create function pgmq.format_table_name(queue_name text, prefix text) returns text
    language plpgsql immutable set search_path = '' as $$
begin
    perform pgmq.validate_queue_name(queue_name);
    return pg_catalog.lower(prefix || '_' || queue_name);
end
$$;

create function pgmq.create_queue_tables(queue_name text, is_unlogged boolean) returns void
    language plpgsql set search_path = '' as $$
#variable_conflict use_variable
declare
    queue text := pgmq.format_table_name(queue_name, 'q');
    archive text := pgmq.format_table_name(queue_name, 'a');
    kind text := case when is_unlogged then 'unlogged' else '' end;
    taken boolean;
begin
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('pgmq.' || queue, 0));
    select exists (
        select from pgmq.meta as m
        where pg_catalog.lower(m.queue_name) = pg_catalog.lower(queue_name) and m.queue_name <> queue_name
    ) into taken;
    if taken then
        raise exception using errcode = '42710',
            message = pg_catalog.format('a queue is called like "%s" but for capitals', queue_name);
    end if;
    insert into pgmq.meta (queue_name, is_unlogged) values (queue_name, is_unlogged)
    on conflict do nothing;
    if not found then
        return; -- as pgmq does: it is there already
    end if;
    execute pg_catalog.format(
        'create %s table pgmq.%I (msg_id bigint generated always as identity primary key, '
        'read_ct integer not null default 0, enqueued_at timestamptz not null default now(), '
        'vt timestamptz not null, message jsonb)', kind, queue
    );
    execute pg_catalog.format(
        'create table pgmq.%I (msg_id bigint primary key, read_ct integer not null default 0, '
        'enqueued_at timestamptz not null default now(), archived_at timestamptz not null default now(), '
        'vt timestamptz not null, message jsonb)', archive
    );
    execute pg_catalog.format('create index %I on pgmq.%I (vt)', queue || '_vt_idx', queue);
    execute pg_catalog.format(
        'create index %I on pgmq.%I (archived_at)',
        'archived_at_idx_' || pg_catalog.lower(queue_name), archive
    );
    execute pg_catalog.format('alter table pgmq.%I enable row level security', queue);
    execute pg_catalog.format('alter table pgmq.%I enable row level security', archive);
    execute pg_catalog.format('revoke all on pgmq.%I, pgmq.%I from public', queue, archive);
    execute pg_catalog.format('grant all on pgmq.%I, pgmq.%I to service_role', queue, archive);
end
$$;

create function pgmq.create(queue_name text) returns void
    language sql set search_path = '' as $$ select pgmq.create_queue_tables(queue_name, false) $$;

create function pgmq.create_non_partitioned(queue_name text) returns void
    language sql set search_path = '' as $$ select pgmq.create_queue_tables(queue_name, false) $$;

create function pgmq.create_unlogged(queue_name text) returns void
    language sql set search_path = '' as $$ select pgmq.create_queue_tables(queue_name, true) $$;

create function pgmq.drop_queue(queue_name text) returns boolean
    language plpgsql set search_path = '' as $$
#variable_conflict use_variable
begin
    execute pg_catalog.format('drop table if exists pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    execute pg_catalog.format('drop table if exists pgmq.%I', pgmq.format_table_name(queue_name, 'a'));
    delete from pgmq.meta as m where m.queue_name = queue_name;
    return found;
end
$$;

create function pgmq.purge_queue(queue_name text) returns bigint
    language plpgsql set search_path = '' as $$
declare
    queue text := pgmq.format_table_name(queue_name, 'q');
    purged bigint;
begin
    execute pg_catalog.format('lock table pgmq.%I in access exclusive mode', queue);
    execute pg_catalog.format('select count(*) from pgmq.%I', queue) into purged;
    execute pg_catalog.format('truncate table pgmq.%I', queue);
    return purged;
end
$$;

create function pgmq.list_queues() returns setof pgmq.queue_record
    language sql stable set search_path = '' as $$
    select m.queue_name, m.is_partitioned, m.is_unlogged, m.created_at from pgmq.meta as m order by 1
$$;

create function pgmq.metrics(queue_name text) returns pgmq.metrics_result
    language plpgsql set search_path = '' as $$
declare
    queue text := pgmq.format_table_name(queue_name, 'q');
    found_out pgmq.metrics_result;
begin
    execute pg_catalog.format(
        'select $1, count(*), extract(epoch from now() - max(enqueued_at))::integer, '
        'extract(epoch from now() - min(enqueued_at))::integer, '
        '(select case when is_called then last_value else 0 end from %s), now() from pgmq.%I',
        pg_catalog.pg_get_serial_sequence(pg_catalog.format('pgmq.%I', queue), 'msg_id'), queue
    ) into found_out using queue_name;
    return found_out;
end
$$;

create function pgmq.metrics_all() returns setof pgmq.metrics_result
    language plpgsql set search_path = '' as $$
declare
    known record;
begin
    for known in select m.queue_name from pgmq.meta as m order by 1 loop
        return next pgmq.metrics(known.queue_name);
    end loop;
end
$$;
"""

VERBS: Final = r"""
create function pgmq.send(queue_name text, msg jsonb, delay integer default 0) returns setof bigint
    language plpgsql set search_path = '' as $$
begin
    return query execute pg_catalog.format(
        'insert into pgmq.%I (vt, message) values (clock_timestamp() + make_interval(secs => $2), $1) '
        'returning msg_id', pgmq.format_table_name(queue_name, 'q')
    ) using msg, coalesce(delay, 0)::double precision;
end
$$;

create function pgmq.send_batch(queue_name text, msgs jsonb[], delay integer default 0) returns setof bigint
    language plpgsql set search_path = '' as $$
begin
    return query execute pg_catalog.format(
        'insert into pgmq.%I (vt, message) '
        'select clock_timestamp() + make_interval(secs => $2), given.message '
        'from unnest($1) with ordinality as given (message, nth) order by given.nth returning msg_id',
        pgmq.format_table_name(queue_name, 'q')
    ) using msgs, coalesce(delay, 0)::double precision;
end
$$;

create function pgmq.read(queue_name text, vt integer, qty integer) returns setof pgmq.message_record
    language plpgsql set search_path = '' as $$
begin
    return query execute pg_catalog.format(
        'with next as (select msg_id from pgmq.%1$I where vt <= clock_timestamp() '
        'order by msg_id limit $1 for update skip locked), '
        'taken as (update pgmq.%1$I as q set vt = clock_timestamp() + make_interval(secs => $2), '
        'read_ct = q.read_ct + 1 from next where q.msg_id = next.msg_id '
        'returning q.msg_id, q.read_ct, q.enqueued_at, q.vt, q.message) '
        'select * from taken order by msg_id', pgmq.format_table_name(queue_name, 'q')
    ) using greatest(qty, 0), coalesce(vt, 0)::double precision;
end
$$;

create function pgmq.read_with_poll(
    queue_name text, vt integer, qty integer, max_poll_seconds integer default 5,
    poll_interval_ms integer default 100
) returns setof pgmq.message_record
    language plpgsql set search_path = '' as $$
declare
    stop_at timestamptz := pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => max_poll_seconds);
begin
    loop
        return query select * from pgmq.read(queue_name, vt, qty);
        if found or pg_catalog.clock_timestamp() >= stop_at then
            return;
        end if;
        perform pg_catalog.pg_sleep(greatest(poll_interval_ms, 1) / 1000.0);
    end loop;
end
$$;

create function pgmq.pop(queue_name text) returns setof pgmq.message_record
    language plpgsql set search_path = '' as $$
begin
    return query execute pg_catalog.format(
        'with next as (select msg_id from pgmq.%1$I where vt <= clock_timestamp() '
        'order by msg_id limit 1 for update skip locked) '
        'delete from pgmq.%1$I as q using next where q.msg_id = next.msg_id '
        'returning q.msg_id, q.read_ct, q.enqueued_at, q.vt, q.message',
        pgmq.format_table_name(queue_name, 'q')
    );
end
$$;

create function pgmq.delete(queue_name text, msg_ids bigint[]) returns setof bigint
    language plpgsql set search_path = '' as $$
begin
    return query execute pg_catalog.format(
        'delete from pgmq.%I where msg_id = any ($1) returning msg_id',
        pgmq.format_table_name(queue_name, 'q')
    ) using msg_ids;
end
$$;

create function pgmq.delete(queue_name text, msg_id bigint) returns boolean
    language sql set search_path = '' as $$
    select exists (select from pgmq.delete(queue_name, array[msg_id]))
$$;

create function pgmq.archive(queue_name text, msg_ids bigint[]) returns setof bigint
    language plpgsql set search_path = '' as $$
begin
    return query execute pg_catalog.format(
        'with gone as (delete from pgmq.%I where msg_id = any ($1) '
        'returning msg_id, read_ct, enqueued_at, vt, message) '
        'insert into pgmq.%I (msg_id, read_ct, enqueued_at, vt, message) '
        'select msg_id, read_ct, enqueued_at, vt, message from gone returning msg_id',
        pgmq.format_table_name(queue_name, 'q'), pgmq.format_table_name(queue_name, 'a')
    ) using msg_ids;
end
$$;

create function pgmq.archive(queue_name text, msg_id bigint) returns boolean
    language sql set search_path = '' as $$
    select exists (select from pgmq.archive(queue_name, array[msg_id]))
$$;

create function pgmq.set_vt(queue_name text, msg_id bigint, vt integer) returns setof pgmq.message_record
    language plpgsql set search_path = '' as $$
begin
    return query execute pg_catalog.format(
        'update pgmq.%I as q set vt = clock_timestamp() + make_interval(secs => $2) where q.msg_id = $1 '
        'returning q.msg_id, q.read_ct, q.enqueued_at, q.vt, q.message',
        pgmq.format_table_name(queue_name, 'q')
    ) using msg_id, vt::double precision;
end
$$;
"""

WRAPPERS: Final = r"""
create function pgmq_public.send(queue_name text, message jsonb, sleep_seconds integer default 0)
    returns setof bigint language sql set search_path = '' as $$
    select * from pgmq.send(queue_name, message, sleep_seconds)
$$;
create function pgmq_public.send_batch(queue_name text, messages jsonb[], sleep_seconds integer default 0)
    returns setof bigint language sql set search_path = '' as $$
    select * from pgmq.send_batch(queue_name, messages, sleep_seconds)
$$;
create function pgmq_public.read(queue_name text, sleep_seconds integer, n integer)
    returns setof pgmq.message_record language sql set search_path = '' as $$
    select * from pgmq.read(queue_name, sleep_seconds, n)
$$;
create function pgmq_public.pop(queue_name text)
    returns setof pgmq.message_record language sql set search_path = '' as $$
    select * from pgmq.pop(queue_name)
$$;
create function pgmq_public.archive(queue_name text, message_id bigint)
    returns boolean language sql set search_path = '' as $$
    select pgmq.archive(queue_name, message_id)
$$;
create function pgmq_public.delete(queue_name text, message_id bigint)
    returns boolean language sql set search_path = '' as $$
    select pgmq.delete(queue_name, message_id)
$$;
comment on function pgmq_public.send(text, jsonb, integer) is 'Put a message into a queue; returns its id.';
comment on function pgmq_public.send_batch(text, jsonb[], integer) is
    'Put several messages into a queue; returns their ids.';
comment on function pgmq_public.read(text, integer, integer) is
    'Read up to n messages, which nobody else sees for sleep_seconds.';
comment on function pgmq_public.pop(text) is 'Take the next message out of a queue.';
comment on function pgmq_public.archive(text, bigint) is 'Move a message into the archive of its queue.';
comment on function pgmq_public.delete(text, bigint) is 'Delete a message that was dealt with.';
"""

OPEN: Final = (
    "validate_queue_name(text)",
    "format_table_name(text, text)",
    "send(text, jsonb, integer)",
    "send_batch(text, jsonb[], integer)",
    "read(text, integer, integer)",
    "read_with_poll(text, integer, integer, integer, integer)",
    "pop(text)",
    "delete(text, bigint)",
    "delete(text, bigint[])",
    "archive(text, bigint)",
    "archive(text, bigint[])",
    "set_vt(text, bigint, integer)",
)
"""What roles of requests may call; what comes of it is decided by their rights on the queue's tables."""


def upgrade() -> None:
    for role in ROLES:
        op.execute(
            "update monohull.roles set permissions = array_append(permissions, 'queues.*') "
            f"where name = '{role}' and is_builtin and not 'queues.*' = any (permissions)"
        )
    run = op.get_bind().exec_driver_sql
    if run(
        "select to_regnamespace('pgmq') is not null or to_regnamespace('pgmq_public') is not null"
    ).scalar():
        return
    if not run("select has_database_privilege(current_database(), 'create')").scalar():
        database = quote_name(run("select current_database()::text").scalar_one())
        owner = quote_name(run("select current_user::text").scalar_one())
        raise AdministratorNeeded(
            "the owner may not make the schemas pgmq and pgmq_public in this database",
            [f"GRANT CREATE ON DATABASE {database} TO {owner}"],
        )
    roles = ", ".join(API_ROLES)
    for schema in ("pgmq", "pgmq_public"):
        op.execute(f"create schema {schema}")
        op.execute(f"comment on schema {schema} is '{MARK}'")
    for script in (TABLES, STEERING, VERBS, WRAPPERS):
        for statement in split(script):
            run(statement.text)
    op.execute("revoke execute on all functions in schema pgmq, pgmq_public from public")
    op.execute(f"grant usage on schema pgmq, pgmq_public to {roles}")
    op.execute(f"grant execute on all functions in schema pgmq_public to {roles}")
    for function in OPEN:
        op.execute(f"grant execute on function pgmq.{function} to {roles}")


def downgrade() -> None:
    for schema in ("pgmq_public", "pgmq"):
        op.execute(
            f"do $$ begin if obj_description(to_regnamespace('{schema}'), 'pg_namespace') = '{MARK}' then "
            f"drop schema {schema} cascade; end if; end $$"
        )
    for role in ROLES:
        op.execute(
            "update monohull.roles set permissions = array_remove(permissions, 'queues.*') "
            f"where name = '{role}' and is_builtin"
        )
