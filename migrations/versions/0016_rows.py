"""Row events: which tables are watched, by whom and for what, and what the triggers there call.

Revision ID: 0016
Revises: 0015

The function of a watched table is written by `monohull.kernel.row_triggers`, for
it depends on who watches; it is called ``monohull.row_events_OID``.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0016"
down_revision: Final = "0015"
branch_labels: Final = None
depends_on: Final = None

WATCHES: Final = """
alter table monohull.outbox add column watchers text[];
alter table monohull.outbox
    set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
comment on column monohull.outbox.watchers is 'Of a row event: whose filter holds; null for other events';
create table monohull.row_watches (
    watcher text not null,
    relation regclass not null,
    operations text[] not null constraint ck_row_watches_operations
        check (operations <@ '{INSERT,UPDATE,DELETE}' and operations <> '{}'),
    columns text[],
    condition text,
    problem text,
    watched_at timestamptz not null default now(),
    constraint pk_row_watches primary key (watcher, relation)
);
alter table monohull.row_watches enable row level security;
revoke all on monohull.row_watches from public;
comment on table monohull.row_watches is 'Whose rows become events, and for whom';
comment on column monohull.row_watches.problem is 'Why the condition is not asked: it fits the table no more';
"""

FUNCTIONS: Final = """
create function monohull.no_row_event() returns trigger
    language plpgsql set search_path = '' as $$
begin
    return null;
end
$$;
revoke execute on function monohull.no_row_event() from public;
comment on function monohull.no_row_event() is 'Stands in triggers that are made to read a condition';

create function monohull.row_cause(out actor text, out request_id text, out traceparent text)
    language plpgsql stable set search_path = '' as $$
declare
    told text := current_setting('monohull.origin', true);
    claims text := current_setting('request.jwt.claims', true);
begin
    -- what somebody wrote there by hand must not refuse the change
    if told <> '' then
        begin
            request_id := told::json ->> 'request_id';
            traceparent := told::json ->> 'traceparent';
        exception when others then
            null;
        end;
    end if;
    if claims <> '' then
        begin
            actor := claims::json ->> 'sub';
        exception when others then
            null;
        end;
    end if;
end
$$;
revoke execute on function monohull.row_cause() from public;
comment on function monohull.row_cause() is 'Who and which request changes rows, as the data API tells it';

create function monohull.without_hidden(whole json, hidden text[]) returns json
    language sql immutable parallel safe set search_path = '' as $$
    select case when whole is null then null else (
        select json_object_agg(
            each.key,
            case when each.key = any (hidden) and each.value::text <> 'null' then '"[removed]"'::json
                 else each.value end
        )
        from json_each(whole) as each
    ) end
$$;
revoke execute on function monohull.without_hidden(json, text[]) from public;
comment on function monohull.without_hidden(json, text[]) is 'A row without the values of its secret columns';

create function monohull.cut_row(whole json) returns json
    language sql immutable parallel safe set search_path = '' as $$
    select case when whole is null then null else (
        select json_object_agg(
            each.key,
            case when octet_length(each.value::text) > 1024
                then to_json('[' || octet_length(each.value::text) || ' bytes]') else each.value end
        )
        from json_each(whole) as each
    ) end
$$;
revoke execute on function monohull.cut_row(json) from public;
comment on function monohull.cut_row(json) is 'A row with the size of each large value in its place';

create function monohull.hidden_columns(relation regclass) returns text[]
    language sql stable set search_path = '' as $$
    select coalesce(array_agg(attname::text order by attnum), '{}')
    from pg_catalog.pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped and (
        pg_catalog.col_description(relation, attnum) ~ '@(secret|sensitive)\\M'
        or attname ~* '(passw|secret(?!ar)|token|api_?key|private_?key|credential|nonce|verifier)'
        or attname ~* '((^|_)(otp|totp|hash|salt|pin|cvv|iban|ciphertext)(_|$)|^codes?$)'
    )
$$;
revoke execute on function monohull.hidden_columns(regclass) from public;
comment on function monohull.hidden_columns(regclass) is
    'Columns whose values leave the database in no event, by the rules of the audit log';

create function monohull.has_foreign_types(relation oid, are_domains_asked boolean) returns boolean
    language sql stable set search_path = '' as $$
    select exists (
        select from pg_catalog.pg_attribute
        where attrelid = relation and attnum > 0 and not attisdropped
            and atttypid >= 16384 and not monohull.is_own_type(atttypid, are_domains_asked)
    )
$$;
revoke execute on function monohull.has_foreign_types(oid, boolean) from public;
comment on function monohull.has_foreign_types(oid, boolean) is
    'Whether a table has columns of types whose casts are somebody else''s, or the checks of their domains';

create function monohull.json_by_column(relation oid) returns text
    language sql stable set search_path = '' as $$
    -- format runs the output function of a type and no cast
    select format('(''{'' || array_to_string(array[%s]::text[], '','') || ''}'')::json', string_agg(
        format('%L || coalesce(', to_json(attname::text)::text || ':') || case
            when atttypid < 16384 or monohull.is_own_type(atttypid)
                then format('to_json(changed.%I)', attname)
            else format(
                'case when changed.%I is distinct from null then to_json(format(''%%s'', changed.%I)) end',
                attname, attname
            )
        end || '::text, ''null'')', ', ' order by attnum
    ))
    from pg_catalog.pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped
        and monohull.has_foreign_types(relation, false)
    having count(*) > 0
$$;
revoke execute on function monohull.json_by_column(oid) from public;
comment on function monohull.json_by_column(oid) is
    'What makes JSON of a row called "changed" without casts of somebody else; null where there are none';
"""

UNDO: Final = """
do $$ declare one record; begin
    for one in
        select p.oid::regprocedure as name from pg_proc as p
        where pronamespace = 'monohull'::regnamespace and proname ~ '^row_events_[0-9]+$'
    loop
        execute format('drop function %s cascade', one.name);
    end loop;
end $$;
drop function monohull.json_by_column(oid);
drop function monohull.has_foreign_types(oid, boolean);
drop function monohull.hidden_columns(regclass);
drop function monohull.cut_row(json);
drop function monohull.without_hidden(json, text[]);
drop function monohull.row_cause();
drop function monohull.no_row_event();
drop table monohull.row_watches;
alter table monohull.outbox drop column watchers;
alter table monohull.outbox reset (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor);
"""


def upgrade() -> None:
    for script in (WATCHES, FUNCTIONS):
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    for statement in split(UNDO):
        op.get_bind().exec_driver_sql(statement.text)
