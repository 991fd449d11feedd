"""Search the audit log by two conditions at once, take locks in one order, run nothing of a table's owner.

Revision ID: 0014
Revises: 0013

A search goes along one index that answers all of it but the time, so each index begins with what searches
combine. What an actor or a kind of object has to do with is found action by action: those have no
index of their own any more.

Who deletes a user locks the user, then the version, then the user's teams, and all else behind
them. So does who changes teams or roles: the two wait and never block each other. An
invitation ends with the membership it rests on, and with whoever sent it.

The trigger of audited tables runs as the owner of the platform, over rows of tables that belong to
others. Making JSON of a value runs the cast to JSON of its type, and converting it to text that to text: both
are functions that whoever made the type may write. So a value of a type that somebody else made is
written down as its output function has it, which only superusers write.

Rules of columns remember by number what they name, so that they follow what is called otherwise.
"""

from __future__ import annotations

import re
from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0014"
down_revision: Final = "0013"
branch_labels: Final = None
depends_on: Final = None

SEARCHES: Final = """
drop index monohull.ix_audit_entries_object;
drop index monohull.ix_audit_entries_kind;
create index ix_audit_entries_object
    on monohull.audit_entries (object_id, object_kind, recorded_at, sequence) where object_id is not null;
create index ix_audit_entries_actor_action
    on monohull.audit_entries (actor_id, action, recorded_at, sequence) where actor_id is not null;
create index ix_audit_entries_kind_action
    on monohull.audit_entries (object_kind, action, recorded_at, sequence) where object_kind is not null;
create index ix_audit_entries_actor_kind_action
    on monohull.audit_entries (actor_id, object_kind, action, recorded_at, sequence)
    where actor_id is not null and object_kind is not null;
"""
SEARCHES_BEFORE: Final = """
drop index monohull.ix_audit_entries_object;
drop index monohull.ix_audit_entries_actor_action;
drop index monohull.ix_audit_entries_kind_action;
drop index monohull.ix_audit_entries_actor_kind_action;
create index ix_audit_entries_object on monohull.audit_entries (object_id, recorded_at, sequence)
    where object_id is not null;
create index ix_audit_entries_kind on monohull.audit_entries (object_kind, recorded_at, sequence)
    where object_kind is not null;
"""
LOCKS: Final = """
create or replace function monohull.lock_access() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from monohull.role_assignments as a where a.user_id = old.id)
        or exists (select from monohull.group_members as m where m.user_id = old.id)
    then
        perform from monohull.access_version for update;
        perform from monohull.teams as t
        where t.id in (
            select a.team_id from monohull.role_assignments as a
            left join monohull.group_members as m on m.group_id = a.group_id
            where coalesce(a.user_id, m.user_id) = old.id
        )
        order by t.id for no key update;
    end if;
    delete from monohull.team_invitations where invited_by = old.id;
    if tg_op = 'DELETE' then
        return old;
    end if;
    return new;
end
$$;
create trigger monohull_lock_access_softly before update of deleted_at on auth.users
    for each row when (old.deleted_at is null and new.deleted_at is not null)
    execute function monohull.lock_access();

create function monohull.end_invitations() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if tg_table_name = 'groups' then
        -- before: once it is gone, nobody says any more who was in it and what it held
        delete from monohull.team_invitations as i
        using monohull.role_assignments as a, monohull.group_members as m
        where a.group_id = old.id and m.group_id = old.id
            and i.team_id = a.team_id and i.invited_by = m.user_id;
        return old;
    elsif tg_table_name = 'group_members' then
        delete from monohull.team_invitations as i using monohull.role_assignments as a
        where i.invited_by = old.user_id and a.group_id = old.group_id and i.team_id = a.team_id;
    elsif old.group_id is null then
        delete from monohull.team_invitations where team_id = old.team_id and invited_by = old.user_id;
    else
        delete from monohull.team_invitations as i using monohull.group_members as m
        where i.team_id = old.team_id and m.group_id = old.group_id and i.invited_by = m.user_id;
    end if;
    return null;
end
$$;
revoke execute on function monohull.end_invitations() from public;
comment on function monohull.end_invitations() is
    'Invitations of whoever loses a role in a team end with it: they rest on the sender''s roles.';
create trigger monohull_end_invitations after delete on monohull.role_assignments
    for each row when (old.team_id is not null and old.key_id is null)
    execute function monohull.end_invitations();
create trigger monohull_end_invitations after delete on monohull.group_members
    for each row execute function monohull.end_invitations();
create trigger monohull_end_invitations before delete on monohull.groups
    for each row execute function monohull.end_invitations();
"""
LOCKS_BEFORE: Final = """
drop trigger monohull_end_invitations on monohull.groups;
drop trigger monohull_end_invitations on monohull.group_members;
drop trigger monohull_end_invitations on monohull.role_assignments;
drop function monohull.end_invitations();
drop trigger monohull_lock_access_softly on auth.users;
create or replace function monohull.lock_access() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from monohull.role_assignments as a where a.user_id = old.id and a.team_id is null)
        or exists (select from monohull.group_members as m where m.user_id = old.id)
    then
        perform from monohull.access_version for update;
    end if;
    return old;
end
$$;
"""

CASTS: Final = """
create function monohull.is_own_type(type oid, are_domains_asked boolean default false) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive within (id) as (
        select type
        union
        select part.id
        from within join pg_catalog.pg_type as t on t.oid = within.id
        cross join lateral (
            select t.typelem where t.typcategory = 'A'
            union all
            select t.typbasetype
            union all
            select a.atttypid from pg_catalog.pg_attribute as a
            where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
            union all
            select r.rngsubtype from pg_catalog.pg_range as r where t.oid in (r.rngtypid, r.rngmultitypid)
        ) as part (id)
        where t.oid >= 16384 and part.id <> 0
    )
    select coalesce(bool_and(
        t.oid < 16384 or t.typtype = 'c' or (t.typtype = 'd' and not are_domains_asked)
        or t.typowner = (select r.oid from pg_catalog.pg_roles as r where r.rolname = current_user)
        or exists (select from pg_catalog.pg_roles as r where r.oid = t.typowner and r.rolsuper)
    ), false)
    from within left join pg_catalog.pg_type as t on t.oid = within.id
$$;
revoke execute on function monohull.is_own_type(oid, boolean) from public;
comment on function monohull.is_own_type(oid, boolean) is
    'Whether a type and all it consists of is the server''s, a superuser''s or ours, and its casts with it; '
    'the checks of its domains too, if they are asked about.';

create or replace function monohull.columns_for_audit(whole anyelement) returns jsonb
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    most_bytes constant integer := 16777216;
    columns jsonb := '{}';
    one record;
    value jsonb;
begin
    for one in
        select attname as name, atttypid < 16384 or monohull.is_own_type(atttypid) as is_own
        from pg_catalog.pg_attribute
        where attrelid = (select typrelid from pg_catalog.pg_type where oid = pg_catalog.pg_typeof(whole))
            and attnum > 0 and not attisdropped
        order by attnum
    loop
        value := null;
        if one.is_own then
            begin
                execute pg_catalog.format('select pg_catalog.to_jsonb(($1).%I)', one.name)
                    into value using whole;
            exception when others then
                -- json takes escapes that jsonb does not; as text it has no need to be understood
                one.is_own := false;
            end;
        end if;
        if not one.is_own then
            -- format runs the output function of a type and no cast
            execute pg_catalog.format(
                'select case when ($1).%I is distinct from null '
                'then pg_catalog.to_jsonb(pg_catalog.left(pg_catalog.format(''%%s'', ($1).%I), %s)) end',
                one.name, one.name, most_bytes
            ) into value using whole;
        end if;
        if pg_catalog.octet_length(value::text) > most_bytes then
            value := pg_catalog.to_jsonb(
                pg_catalog.format('[%s bytes]', pg_catalog.octet_length(value::text))
            );
        end if;
        columns := columns || pg_catalog.jsonb_build_object(one.name, value);
    end loop;
    return columns;
end
$$;

create or replace function monohull.queue_row_for_audit() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    keys constant text[] := tg_argv[0]::text[];
    hidden constant text[] := tg_argv[1]::text[];
    root constant regclass := pg_catalog.pg_partition_root(tg_relid);
    relation text := tg_table_schema || '.' || tg_table_name;
    is_own constant boolean := not exists (
        select from pg_catalog.pg_attribute
        where attrelid = tg_relid and attnum > 0 and not attisdropped
            and atttypid >= 16384 and not monohull.is_own_type(atttypid)
    );
    old_row jsonb;
    new_row jsonb;
    changed text[];
    key text;
    subject text;
begin
    if tg_op in ('UPDATE', 'DELETE') then
        begin
            old_row := case when is_own then pg_catalog.to_jsonb(old)
                else monohull.columns_for_audit(old) end;
        exception when others then
            old_row := monohull.columns_for_audit(old);
        end;
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        begin
            new_row := case when is_own then pg_catalog.to_jsonb(new)
                else monohull.columns_for_audit(new) end;
        exception when others then
            new_row := monohull.columns_for_audit(new);
        end;
    end if;
    if tg_op = 'UPDATE' then
        select pg_catalog.array_agg(now.key) into changed
        from pg_catalog.jsonb_each(new_row) as now where old_row -> now.key is distinct from now.value;
        if changed is null then
            return null;
        end if;
    end if;
    if tg_op = 'TRUNCATE' then
        key := case when root <> tg_relid then relation end;
    else
        select pg_catalog.string_agg(coalesce(new_row, old_row) ->> name, ',' order by position) into key
        from pg_catalog.unnest(keys) with ordinality as known (name, position);
    end if;
    if root <> tg_relid then
        select nspname || '.' || relname into relation
        from pg_catalog.pg_class join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
        where pg_class.oid = root;
    end if;
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
        'relation', relation,
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
"""

RENAMES: Final = """
alter table monohull.role_columns add column relation_id oid, add column column_numbers jsonb;
comment on column monohull.role_columns.relation_id is
    'What the rule is about, whatever it is called by now; null for nothing that is there.';
comment on column monohull.role_columns.column_numbers is 'Numbers of the columns that are listed, by name.';

create function monohull.find_relation(schema_name text, relation_name text) returns oid
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.oid from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = schema_name and c.relname = relation_name and c.relkind in ('r', 'p', 'v', 'm', 'f')
$$;
revoke execute on function monohull.find_relation(text, text) from public;

create function monohull.bind_role_columns() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.relation_id := monohull.find_relation(new.schema_name, new.relation_name);
    new.column_numbers := (
        select pg_catalog.jsonb_object_agg(a.attname, a.attnum) from pg_catalog.pg_attribute as a
        where a.attrelid = new.relation_id and a.attnum > 0 and not a.attisdropped
            and a.attname::text = any (coalesce(new.reads, '{}') || coalesce(new.writes, '{}'))
    );
    return new;
end
$$;
revoke execute on function monohull.bind_role_columns() from public;
create trigger monohull_bind before insert or update on monohull.role_columns
    for each row execute function monohull.bind_role_columns();

create function monohull.called_now(listed text[], numbers jsonb, relation oid) returns text[]
    language sql stable set search_path = pg_catalog, pg_temp as $$
    -- nothing that is listed is not the same as no list
    select case when listed is not null
        then coalesce(pg_catalog.array_agg(coalesce(a.attname::text, l.name) order by l.place), '{}') end
    from pg_catalog.unnest(listed) with ordinality as l (name, place)
    left join pg_catalog.pg_attribute as a
        on a.attrelid = relation and a.attnum = (numbers ->> l.name)::smallint and not a.attisdropped
$$;
revoke execute on function monohull.called_now(text[], jsonb, oid) from public;

create view monohull.renamed_role_columns as
select r.role_id, r.schema_name, r.relation_name, r.relation_id,
    n.nspname::text as schema_now, c.relname::text as relation_now,
    monohull.called_now(r.reads, r.column_numbers, c.oid) as reads_now,
    monohull.called_now(r.writes, r.column_numbers, c.oid) as writes_now,
    (n.nspname, c.relname) is distinct from (r.schema_name::name, r.relation_name::name) as is_moved
from monohull.role_columns as r
join pg_catalog.pg_class as c on c.oid = r.relation_id
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where (n.nspname, c.relname) is distinct from (r.schema_name::name, r.relation_name::name)
    or exists (
        select from pg_catalog.jsonb_each_text(r.column_numbers) as known (name, number)
        join pg_catalog.pg_attribute as a on a.attrelid = r.relation_id and a.attnum = known.number::smallint
        where not a.attisdropped and a.attname::text <> known.name
    );
revoke all on monohull.renamed_role_columns from public;
comment on view monohull.renamed_role_columns is
    'Rules of columns that monohull.follow_renames() mends: what they name is called otherwise by now.';

create function monohull.follow_renames() returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    one record;
    followed bigint := 0;
begin
    perform from monohull.access_version for update;
    for one in select * from monohull.renamed_role_columns loop
        followed := followed + 1;
        if not one.is_moved then
            update monohull.role_columns set reads = one.reads_now, writes = one.writes_now
            where role_id = one.role_id and schema_name = one.schema_name
                and relation_name = one.relation_name;
            continue;
        end if;
        -- a rule that somebody wrote for the new name stands
        insert into monohull.role_columns (role_id, schema_name, relation_name, reads, writes)
        values (one.role_id, one.schema_now, one.relation_now, one.reads_now, one.writes_now)
        on conflict do nothing;
        if monohull.find_relation(one.schema_name, one.relation_name) is null then
            delete from monohull.role_columns
            where role_id = one.role_id and schema_name = one.schema_name
                and relation_name = one.relation_name;
        else
            -- something else has the old name: it was limited under that name and stays so
            update monohull.role_columns set updated_at = updated_at
            where role_id = one.role_id and schema_name = one.schema_name
                and relation_name = one.relation_name;
        end if;
    end loop;
    update monohull.role_columns as r set updated_at = r.updated_at
    where monohull.find_relation(r.schema_name, r.relation_name) is distinct from r.relation_id;
    return followed;
end
$$;
revoke execute on function monohull.follow_renames() from public;
comment on function monohull.follow_renames() is
    'Have rules of columns name what they are about as it is called now; returns how many did not.';
update monohull.role_columns set updated_at = updated_at;
"""
RENAMES_BEFORE: Final = """
drop function monohull.follow_renames();
drop view monohull.renamed_role_columns;
drop function monohull.called_now(text[], jsonb, oid);
drop trigger monohull_bind on monohull.role_columns;
drop function monohull.bind_role_columns();
drop function monohull.find_relation(text, text);
alter table monohull.role_columns drop column relation_id, drop column column_numbers;
"""


def upgrade() -> None:
    for script in (SEARCHES, LOCKS, CASTS, RENAMES):
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    for script in (RENAMES_BEFORE, LOCKS_BEFORE, SEARCHES_BEFORE):
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)
    environment = op.get_context().environment_context
    assert environment is not None
    earlier = environment.script.get_revision(down_revision)
    assert earlier is not None
    for statement in split(earlier.module.ROWS):
        if re.match(
            r"create (or replace )?function monohull\.(columns|queue_row)_for_audit\(", statement.text
        ):
            text = statement.text.replace("create function", "create or replace function", 1)
            op.get_bind().exec_driver_sql(text)
    op.execute("drop function monohull.is_own_type(oid, boolean)")
