"""Row events that cost less: two indexes of the outbox fewer, and types asked for when a trigger is planned.

Revision ID: 0029
Revises: 0028

The feed finds events by their numbers and by their ids. Nothing looked for one
by its position once it was relayed, and numbers are in the order of time, so
both other indexes cost every event and helped none.

Trigger functions that were written before ask as they did, until a worker
writes them anew within a minute. On the way back they go, and the triggers
with them: a worker of the version before makes them again within a minute of
its start, and rows that change until then are not told.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0029"
down_revision: Final = "0028"
branch_labels: Final = None
depends_on: Final = None

CHANGES: Final = r"""
alter table monohull.outbox drop constraint outbox_pkey;
alter table monohull.outbox replica identity using index outbox_id_key;
drop index monohull.outbox_relayed;
create index outbox_relayed on monohull.outbox using brin (relayed_at);

create function monohull.shows_columns(relation oid) returns boolean
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    seen oid[];
    columns text;
    last integer;
    types oid[];
begin
    select coalesce(array_agg(atttypid order by attnum), '{}'),
        string_agg(format('pg_typeof(it.%I)::oid', attname), ', ' order by attnum)
        into seen, columns
    from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped;
    select coalesce(max(attnum), 0) into last from pg_attribute where attrelid = relation and attnum > 0;
    if has_column_privilege(relation, (last + 1)::smallint, 'select') is not null then
        return false;
    end if;
    execute format('select array[%s]::oid[] from (select (null::%s).*) as it', columns, relation::regclass)
        into types;
    return types = seen;
exception when others then
    -- a column was dropped, or goes by another name
    return false;
end
$$;
revoke execute on function monohull.shows_columns(oid) from public;
comment on function monohull.shows_columns(oid) is
    'Whether the columns of a table are those that the snapshot of this transaction shows, which may be old';

create function monohull.has_plain_types(relation regclass) returns boolean
    language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return not exists (
        select from pg_attribute
        where attrelid = relation and attnum > 0 and not attisdropped and atttypid >= 16384
    ) and monohull.shows_columns(relation);
end
$$;
revoke execute on function monohull.has_plain_types(regclass) from public;
comment on function monohull.has_plain_types(regclass) is
    'Whether all types came with PostgreSQL; asked when a plan is made, which an altered table makes void';

create function monohull.shows_type(type oid) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive within (id) as (
        select type where current_setting('transaction_isolation') <> 'read committed'
        union
        select part.id
        from within join pg_type as t on t.oid = within.id
        cross join lateral (
            select t.typelem where t.typcategory = 'A'
            union all
            select t.typbasetype
            union all
            select a.atttypid from pg_attribute as a
            where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
            union all
            select r.rngsubtype from pg_range as r where t.oid in (r.rngtypid, r.rngmultitypid)
        ) as part (id)
        where t.oid >= 16384 and part.id <> 0
    )
    select coalesce(bool_and(
        t.oid < 16384 or t.typrelid = 0 or t.typrelid is not null and monohull.shows_columns(t.typrelid)
    ), true)
    from within left join pg_type as t on t.oid = within.id
$$;
revoke execute on function monohull.shows_type(oid) from public;
comment on function monohull.shows_type(oid) is
    'Whether a transaction whose snapshot may be old sees the fields of a type as they are';

create or replace function monohull.has_foreign_types(relation oid, are_domains_asked boolean) returns boolean
    language sql stable set search_path = '' as $$
    select exists (
        select from pg_catalog.pg_attribute
        where attrelid = relation and attnum > 0 and not attisdropped
            and atttypid >= 16384 and not monohull.is_own_type(atttypid, are_domains_asked)
    ) or not monohull.shows_type((select reltype from pg_catalog.pg_class where oid = relation))
$$;

create or replace function monohull.json_by_column(relation oid) returns text
    language sql stable set search_path = '' as $$
    -- format runs the output function of a type and no cast
    select format('(''{'' || array_to_string(array[%s]::text[], '','') || ''}'')::json', string_agg(
        format('%L || coalesce(', to_json(attname::text)::text || ':') || case
            when atttypid < 16384 or (monohull.is_own_type(atttypid) and monohull.shows_type(atttypid))
                then format(
                    'case when pg_typeof(changed.%I) = ''%s''::regtype then to_json(changed.%I) '
                    'when changed.%I is distinct from null then to_json(format(''%%s'', changed.%I)) end',
                    attname, atttypid, attname, attname, attname
                )
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
create or replace function monohull.json_by_column(relation oid) returns text
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
create or replace function monohull.has_foreign_types(relation oid, are_domains_asked boolean) returns boolean
    language sql stable set search_path = '' as $$
    select exists (
        select from pg_catalog.pg_attribute
        where attrelid = relation and attnum > 0 and not attisdropped
            and atttypid >= 16384 and not monohull.is_own_type(atttypid, are_domains_asked)
    )
$$;
drop index monohull.outbox_relayed;
create index outbox_relayed on monohull.outbox (relayed_at) where relayed_at is not null;
alter table monohull.outbox replica identity default;
alter table monohull.outbox add constraint outbox_pkey primary key (position);
drop function monohull.has_plain_types(regclass);
drop function monohull.shows_type(oid);
drop function monohull.shows_columns(oid);
"""


def upgrade() -> None:
    for statement in split(CHANGES):
        op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    for statement in split(UNDO):
        op.get_bind().exec_driver_sql(statement.text)
