"""The audit log: entries in a chain a month, what waits to become one, and signed checkpoints.

Revision ID: 0008
Revises: 0007

Nobody may change an entry, its table's owner included: the rights are taken
away, and for who has them all the same, a trigger refuses. Partitions are made
by `monohull.add_audit_partition`, because what a partition needs beside its
rows (an order of its own, triggers on TRUNCATE) is not passed down by its
parent.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0008"
down_revision: Final = "0007"
branch_labels: Final = None
depends_on: Final = None

OUTBOX: Final = """
alter table monohull.outbox
    add column origin json,
    add column is_audited boolean not null default true;
comment on column monohull.outbox.origin is 'Who caused it, as what and from where';
comment on column monohull.outbox.is_audited is 'Whether it becomes an entry of the audit log';
"""

ENTRIES: Final = """
create table monohull.audit_entries (
    recorded_at timestamptz not null,
    sequence bigint not null,
    id uuid not null,
    occurred_at timestamptz not null,
    action text collate "C" not null,
    actor_kind text not null,
    actor_id text,
    actor_role text,
    key_id text,
    login text,
    address text,
    user_agent text,
    object_kind text,
    object_id text,
    before json,
    after json,
    request_id text,
    trace_id text,
    previous_hash bytea not null,
    hash bytea not null,
    constraint pk_audit_entries primary key (recorded_at, sequence),
    constraint ck_audit_entries_sequence check (sequence > 0)
) partition by range (recorded_at);
create index ix_audit_entries_actor on monohull.audit_entries (actor_id, recorded_at, sequence)
    where actor_id is not null;
create index ix_audit_entries_action on monohull.audit_entries (action, recorded_at, sequence);
create index ix_audit_entries_object on monohull.audit_entries (object_id, recorded_at, sequence)
    where object_id is not null;
create index ix_audit_entries_kind on monohull.audit_entries (object_kind, recorded_at, sequence)
    where object_kind is not null;
create index ix_audit_entries_request on monohull.audit_entries (request_id, recorded_at, sequence)
    where request_id is not null;
alter table monohull.audit_entries enable row level security;
comment on table monohull.audit_entries is 'Who did what; entries are only ever added';
"""

QUEUE: Final = """
create table monohull.audit_queue (
    position bigint generated always as identity constraint pk_audit_queue primary key,
    id uuid not null default gen_random_uuid(),
    source text not null constraint ck_audit_queue_source check (source in ('event', 'row')),
    occurred_at timestamptz not null default clock_timestamp(),
    content json not null
);
alter table monohull.audit_queue enable row level security;
revoke all on monohull.audit_queue from public;
comment on table monohull.audit_queue is 'What the worker has still to add to the audit log';
create function monohull.queue_event_for_audit() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    insert into monohull.audit_queue (id, source, occurred_at, content)
    values (new.id, 'event', new.occurred_at, pg_catalog.row_to_json(new));
    return null;
end
$$;
revoke execute on function monohull.queue_event_for_audit() from public;
create trigger monohull_queue_for_audit after insert on monohull.outbox
    for each row when (new.is_audited) execute function monohull.queue_event_for_audit();
"""

CHECKPOINTS: Final = """
create table monohull.audit_checkpoints (
    id bigint generated always as identity constraint pk_audit_checkpoints primary key,
    partition text not null,
    sequence bigint not null,
    hash text not null,
    made_at timestamptz not null,
    is_retired boolean not null,
    key text not null,
    signature text not null
);
alter table monohull.audit_checkpoints enable row level security;
comment on table monohull.audit_checkpoints is 'Signed ends of the chain of the audit log';
"""

APPEND_ONLY: Final = """
create function monohull.refuse_audit_change() returns trigger
    language plpgsql set search_path = '' as $$
begin
    raise exception 'the audit log is append-only: % on % is refused', tg_op, tg_table_name
        using errcode = 'insufficient_privilege',
            hint = 'Whole months leave it by MONOHULL_AUDIT_RETENTION_MONTHS.';
end
$$;
revoke execute on function monohull.refuse_audit_change() from public;
create trigger monohull_append_only before update or delete on monohull.audit_entries
    for each row execute function monohull.refuse_audit_change();
create trigger monohull_append_only_whole before truncate on monohull.audit_entries
    for each statement execute function monohull.refuse_audit_change();
create trigger monohull_append_only before update or delete on monohull.audit_checkpoints
    for each row execute function monohull.refuse_audit_change();
create trigger monohull_append_only_whole before truncate on monohull.audit_checkpoints
    for each statement execute function monohull.refuse_audit_change();
alter table monohull.audit_entries enable always trigger monohull_append_only;
alter table monohull.audit_entries enable always trigger monohull_append_only_whole;
alter table monohull.audit_checkpoints enable always trigger monohull_append_only;
alter table monohull.audit_checkpoints enable always trigger monohull_append_only_whole;
revoke all on monohull.audit_entries, monohull.audit_checkpoints from public;
revoke update, delete, truncate on monohull.audit_entries, monohull.audit_checkpoints from current_user;
"""

PARTITIONS: Final = """
create function monohull.add_audit_partition(month date) returns text
    language plpgsql set search_path = '' as $$
declare
    first date := pg_catalog.date_trunc('month', month::timestamp)::date;
    name text := 'audit_entries_' || pg_catalog.to_char(first, 'YYYY_MM');
begin
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('monohull.audit_entries'));
    if pg_catalog.to_regclass('monohull.' || name) is not null then
        return name;
    end if;
    execute pg_catalog.format(
        'create table monohull.%I partition of monohull.audit_entries for values from (%L) to (%L)',
        name, first::text || ' 00:00:00+00', (first + interval '1 month')::date::text || ' 00:00:00+00'
    );
    execute pg_catalog.format('create unique index %I on monohull.%I (sequence)', 'uq_' || name, name);
    execute pg_catalog.format(
        'create trigger monohull_append_only_whole before truncate on monohull.%I '
        'for each statement execute function monohull.refuse_audit_change()', name
    );
    execute pg_catalog.format('alter table monohull.%I enable always trigger monohull_append_only', name);
    execute pg_catalog.format(
        'alter table monohull.%I enable always trigger monohull_append_only_whole', name
    );
    execute pg_catalog.format('alter table monohull.%I enable row level security', name);
    execute pg_catalog.format('revoke all on monohull.%I from public', name);
    execute pg_catalog.format('revoke update, delete, truncate on monohull.%I from current_user', name);
    return name;
end
$$;
revoke execute on function monohull.add_audit_partition(date) from public;
select monohull.add_audit_partition((now() at time zone 'UTC')::date);
select monohull.add_audit_partition(((now() at time zone 'UTC') + interval '1 month')::date);
"""

ROWS: Final = """
create function monohull.queue_row_for_audit() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    keys constant text[] := tg_argv[0]::text[];
    hidden constant text[] := tg_argv[1]::text[];
    old_row jsonb;
    new_row jsonb;
    changed text[];
    key text;
    subject text;
begin
    if tg_op in ('UPDATE', 'DELETE') then
        old_row := pg_catalog.to_jsonb(old);
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        new_row := pg_catalog.to_jsonb(new);
    end if;
    if tg_op = 'UPDATE' then
        select pg_catalog.array_agg(now.key) into changed
        from pg_catalog.jsonb_each(new_row) as now where old_row -> now.key is distinct from now.value;
        if changed is null then
            return null;
        end if;
    end if;
    select pg_catalog.string_agg(coalesce(new_row, old_row) ->> name, ',' order by position) into key
    from pg_catalog.unnest(keys) with ordinality as known (name, position);
    if pg_catalog.current_setting('request.jwt.claims', true) <> '' then
        begin
            subject := pg_catalog.current_setting('request.jwt.claims', true)::jsonb ->> 'sub';
        exception when others then
            subject := null; -- what somebody wrote there by hand must not refuse the change
        end;
    end if;
    insert into monohull.audit_queue (source, content) values ('row', pg_catalog.json_build_object(
        'action', 'data.row_' || case tg_op when 'INSERT' then 'inserted' when 'UPDATE' then 'updated'
                                            when 'DELETE' then 'deleted' else 'truncated' end,
        'relation', tg_table_schema || '.' || tg_table_name,
        'key', key,
        'login', session_user,
        'role', coalesce(nullif(pg_catalog.current_setting('role', true), 'none'), session_user),
        'subject', subject,
        'origin', nullif(pg_catalog.current_setting('monohull.origin', true), ''),
        'before', monohull.shown_to_audit(old_row, changed, hidden),
        'after', monohull.shown_to_audit(new_row, changed, hidden)
    ));
    return null;
end
$$;
create function monohull.shown_to_audit(whole jsonb, wanted text[], hidden text[]) returns jsonb
    language sql immutable parallel safe set search_path = '' as $$
    select pg_catalog.jsonb_object_agg(
        each.key,
        case when each.key = any (hidden) and each.value <> 'null'::jsonb then '"[removed]"'::jsonb
             else each.value end
    )
    from pg_catalog.jsonb_each(whole) as each
    where wanted is null or each.key = any (wanted)
$$;
create view monohull.audited_tables as
select
    class.oid::regclass as relation,
    class.relnamespace::regnamespace::text || '.' || pg_catalog.quote_ident(class.relname) as name,
    coalesce((
        select pg_catalog.array_agg(attname::text order by place)
        from pg_catalog.pg_index, pg_catalog.unnest(indkey) with ordinality as part (number, place)
        join pg_catalog.pg_attribute on attrelid = class.oid and attnum = part.number
        where indrelid = class.oid and indisprimary
    ), '{}') as keys,
    coalesce((
        select pg_catalog.array_agg(attname::text order by attnum)
        from pg_catalog.pg_attribute
        where attrelid = class.oid and attnum > 0 and not attisdropped and (
            pg_catalog.col_description(class.oid, attnum) ~ '@(secret|sensitive)\\M'
            or attname ~* '(passw|secret(?!ar)|token|api_?key|private_?key|credential|nonce|verifier)'
            or attname ~* '((^|_)(otp|totp|hash|salt|pin|cvv|iban|ciphertext)(_|$)|^codes?$)'
        )
    ), '{}') as hidden
from pg_catalog.pg_class as class
where class.relkind in ('r', 'p') and not class.relispartition
    and class.relnamespace <> 'pg_catalog'::regnamespace
    and pg_catalog.obj_description(class.oid, 'pg_class') ~ '@audited\\M';
revoke all on monohull.audited_tables from public;
create function monohull.sync_audit_triggers() returns setof text
    language plpgsql set search_path = '' as $$
declare
    one record;
begin
    for one in
        select tgrelid::regclass as relation from pg_catalog.pg_trigger
        where tgname = 'monohull_audit' and tgparentid = 0
            and tgrelid not in (select relation from monohull.audited_tables)
    loop
        execute pg_catalog.format('drop trigger monohull_audit on %s', one.relation);
        execute pg_catalog.format('drop trigger if exists monohull_audit_whole on %s', one.relation);
        insert into monohull.audit_queue (source, content) values ('event', pg_catalog.json_build_object(
            'name', 'audit.table_untracked', 'key', one.relation::text,
            'payload', pg_catalog.json_build_object('table', one.relation::text)
        ));
        return next one.relation::text;
    end loop;
    for one in
        select relation, keys::text as keys, hidden::text as hidden from monohull.audited_tables
        where not exists (
            select from pg_catalog.pg_trigger
            where tgrelid = relation and tgname = 'monohull_audit' and tgargs =
                pg_catalog.convert_to(keys::text, 'UTF8') || '\\x00'::bytea
                || pg_catalog.convert_to(hidden::text, 'UTF8') || '\\x00'::bytea
        )
    loop
        begin
            execute pg_catalog.format(
                'create or replace trigger monohull_audit after insert or update or delete on %s '
                'for each row execute function monohull.queue_row_for_audit(%L, %L)',
                one.relation, one.keys, one.hidden
            );
            execute pg_catalog.format(
                'create or replace trigger monohull_audit_whole after truncate on %s '
                'for each statement execute function monohull.queue_row_for_audit(%L, %L)',
                one.relation, one.keys, one.hidden
            );
            insert into monohull.audit_queue (source, content) values ('event', pg_catalog.json_build_object(
                'name', 'audit.table_tracked', 'key', one.relation::text,
                'payload', pg_catalog.json_build_object('table', one.relation::text, 'hidden', one.hidden)
            ));
            return next one.relation::text;
        exception when insufficient_privilege then
            raise warning 'the rows of % cannot be audited: its owner is another role', one.relation;
        end;
    end loop;
end
$$;
revoke execute on function monohull.queue_row_for_audit() from public;
revoke execute on function monohull.shown_to_audit(jsonb, text[], text[]) from public;
revoke execute on function monohull.sync_audit_triggers() from public;
"""


def upgrade() -> None:
    for script in (OUTBOX, ENTRIES, QUEUE, CHECKPOINTS, APPEND_ONLY, PARTITIONS, ROWS):
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    for trigger in ("monohull_audit", "monohull_audit_whole"):
        op.execute(
            "do $$ declare one record; begin for one in select tgrelid::regclass as relation from pg_trigger "
            f"where tgname = '{trigger}' and tgparentid = 0 loop "
            f"execute format('drop trigger {trigger} on %s', one.relation); end loop; end $$"
        )
    op.execute("drop function monohull.sync_audit_triggers()")
    op.execute("drop view monohull.audited_tables")
    op.execute("drop function monohull.queue_row_for_audit()")
    op.execute("drop function monohull.shown_to_audit(jsonb, text[], text[])")
    op.execute("drop trigger monohull_queue_for_audit on monohull.outbox")
    op.execute("drop table monohull.audit_checkpoints")
    op.execute("drop table monohull.audit_queue")
    op.execute("drop table monohull.audit_entries")
    op.execute("drop function monohull.add_audit_partition(date)")
    op.execute("drop function monohull.queue_event_for_audit()")
    op.execute("drop function monohull.refuse_audit_change()")
    op.execute("alter table monohull.outbox drop column origin, drop column is_audited")
