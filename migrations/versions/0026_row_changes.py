"""Row events: a statement writes one row however many it changed, and the relay makes events of it.

Revision ID: 0026
Revises: 0025

Functions of tables that were watched before write events into the outbox
themselves, as they did, until a worker writes them anew within a minute.
On the way back they go, and the triggers with them: a worker of the version
before makes them again within a minute of its start, and rows that change
until then are not told.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0026"
down_revision: Final = "0025"
branch_labels: Final = None
depends_on: Final = None

CHANGES: Final = r"""
create table monohull.row_changes (
    position bigint not null default nextval('monohull.outbox_position_seq')
        constraint pk_row_changes primary key,
    transaction_id xid8 not null default pg_current_xact_id(),
    occurred_at timestamptz not null default now(),
    operation text not null,
    schema_name text not null,
    table_name text not null,
    keys text[],
    events integer not null,
    rows json[],
    old_rows json[],
    watchers text[],
    each_watchers text[],
    actor text,
    request_id text,
    traceparent text
);
alter table monohull.row_changes alter column rows set storage external;
alter table monohull.row_changes alter column old_rows set storage external;
alter table monohull.row_changes set (
    autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = -1
);
alter table monohull.row_changes enable row level security;
revoke all on monohull.row_changes from public;
comment on table monohull.row_changes is
    'What statements did to watched tables, until the relay makes events of it';
comment on column monohull.row_changes.position is
    'Its place among what is in the outbox and not yet relayed';
comment on column monohull.row_changes.keys is 'Columns of the primary key; null where no event has a key';
comment on column monohull.row_changes.rows is
    'Rows as they are now; one that was cut stands in an array of its own';
comment on column monohull.row_changes.each_watchers is
    'Where watchers is null: whose filter holds for each row, as text';

create function monohull.cut_row(whole json, kept text[]) returns json
    language sql immutable parallel safe set search_path = '' as $$
    select case when whole is null then null else (
        select json_build_array(json_object_agg(
            each.key,
            case when octet_length(each.value::text) > 1024 and each.key <> all (kept)
                then to_json('[' || octet_length(each.value::text) || ' bytes]') else each.value end
        ))
        from json_each(whole) as each
    ) end
$$;
revoke execute on function monohull.cut_row(json, text[]) from public;
comment on function monohull.cut_row(json, text[]) is
    'A row with the size of each large value in its place, the key left whole, in an array that says so';

create function monohull.readable_json(whole json) returns json
    language plpgsql immutable parallel safe set search_path = '' as $$
begin
    -- jsonb refuses what no text can hold, and json keeps it
    perform whole::jsonb;
    return whole;
exception when others then
    return pg_catalog.regexp_replace(whole::text, '\\u(0000|d[89a-f][0-9a-f]{2})', '\\ufffd', 'gi')::json;
end
$$;
revoke execute on function monohull.readable_json(json) from public;
comment on function monohull.readable_json(json) is
    'A row without the escapes in columns of type json that no text can hold';

create function monohull.told_row(whole json, hidden text[], kept text[], most_bytes integer) returns json
    language plpgsql immutable parallel safe set search_path = '' as $$
declare
    is_large boolean;
begin
    whole := monohull.readable_json(whole);
    is_large := pg_catalog.octet_length(whole::text) > most_bytes;
    if hidden <> '{}' then
        whole := monohull.without_hidden(whole, hidden);
    end if;
    return case when is_large then monohull.cut_row(whole, kept) else whole end;
end
$$;
revoke execute on function monohull.told_row(json, text[], text[], integer) from public;
comment on function monohull.told_row(json, text[], text[], integer) is
    'A row as it is told: without what no text can hold and values of secret columns, cut if it is large';

create or replace function monohull.row_cause(out actor text, out request_id text, out traceparent text)
    language plpgsql stable set search_path = '' as $$
declare
    told text := nullif(current_setting('monohull.origin', true), '');
    claims text := nullif(current_setting('request.jwt.claims', true), '');
begin
    request_id := told::json ->> 'request_id';
    traceparent := told::json ->> 'traceparent';
    actor := claims::json ->> 'sub';
exception when others then
    -- what somebody wrote by hand into one of them must refuse neither the change nor the other
    begin
        request_id := told::json ->> 'request_id';
        traceparent := told::json ->> 'traceparent';
    exception when others then
        null;
    end;
    begin
        actor := claims::json ->> 'sub';
    exception when others then
        null;
    end;
end
$$;

create view monohull.row_events as
select c.position, each.nth, c.transaction_id, c.occurred_at,
    case c.operation
        when 'INSERT' then 'rows.inserted' when 'UPDATE' then 'rows.updated' else 'rows.deleted'
        end as name,
    c.schema_name || '.' || c.table_name || ':' || case
        when cardinality(c.keys) = 1 then coalesce(side.record, side.old_record) ->> c.keys[1]
        else (
            select case when bool_and(part.value is not null)
                then string_agg(part.value, ',' order by part.place) end
            from (
                select coalesce(side.record, side.old_record) ->> named.key as value, named.place
                from unnest(c.keys) with ordinality as named (key, place)
            ) as part
        ) end as key,
    c.actor, c.request_id, c.traceparent,
    case when side.is_cut
        then json_build_object('type', c.operation, 'schema', c.schema_name, 'table', c.table_name,
            'record', side.record, 'old_record', side.old_record, 'is_cut', true)
        else json_build_object('type', c.operation, 'schema', c.schema_name, 'table', c.table_name,
            'record', side.record, 'old_record', side.old_record)
        end as payload,
    coalesce(c.watchers, each.watchers::text[]) as watchers
from monohull.row_changes as c
cross join lateral unnest(c.rows, c.old_rows, c.each_watchers) with ordinality
    as each (record, old_record, watchers, nth)
cross join lateral (
    select case when left(each.record::text, 1) = '[' then each.record -> 0 else each.record end as record,
        case when left(each.old_record::text, 1) = '[' then each.old_record -> 0 else each.old_record end
            as old_record,
        left(each.record::text, 1) = '[' or left(each.old_record::text, 1) = '[' as is_cut
) as side;
revoke all on monohull.row_events from public;
comment on view monohull.row_events is
    'The events of what the relay has still to tell of watched tables';
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
insert into monohull.outbox (id, transaction_id, name, version, key, actor, request_id, traceparent, payload,
                             occurred_at, is_audited, watchers)
select gen_random_uuid(), transaction_id, name, 1, key, actor, request_id, traceparent, payload, occurred_at,
       false, watchers
from monohull.row_events order by position, nth;
drop view monohull.row_events;
drop function monohull.told_row(json, text[], text[], integer);
drop function monohull.readable_json(json);
drop function monohull.cut_row(json, text[]);
drop table monohull.row_changes;
"""


def upgrade() -> None:
    for statement in split(CHANGES):
        op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    for statement in split(UNDO):
        op.get_bind().exec_driver_sql(statement.text)
