"""Ask for keys by what they hold, find roles by a permission, and audit rows whatever they hold.

Revision ID: 0013
Revises: 0012

The functions that policies ask know a key by the claim ``monohull_key_id``, which
the process sets and no token can. A key answers by its own permissions and by
the roles that it was given; for permissions about data its own are the
ceiling. The roles of the user that a key acts as count for what the application
declared, which nobody can put into a key by itself.

What a role bundles stays one array, read and written whole. Each permission is
also a row of ``monohull.role_permissions``, kept by triggers: of these the planner
knows how few there are, while of arrays it thinks that reading them costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import op

from monohull.kernel.database.sql_text import split

if TYPE_CHECKING:
    from collections.abc import Iterator

revision: Final = "0013"
down_revision: Final = "0012"
branch_labels: Final = None
depends_on: Final = None

ROLE_PERMISSIONS: Final = """
create table monohull.role_permissions (
    permission text not null,
    role_id uuid not null
        constraint fk_role_permissions_role_id references monohull.roles (id) on delete cascade,
    constraint pk_role_permissions primary key (permission, role_id)
);
create index ix_role_permissions_role_id on monohull.role_permissions (role_id);
alter table monohull.role_permissions enable row level security;
revoke all on monohull.role_permissions from public;
comment on table monohull.role_permissions is
    'What roles bundle, a row each, to search by; monohull.roles says it, and triggers repeat it here.';
insert into monohull.role_permissions (permission, role_id)
    select distinct held.permission, r.id
    from monohull.roles as r, unnest(r.permissions) as held (permission) where held.permission is not null;
create function monohull.repeat_role_permissions() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'UPDATE' then
        delete from monohull.role_permissions as p using changed
        where p.role_id = changed.id and (p.permission = any (changed.permissions)) is not true;
    end if;
    insert into monohull.role_permissions (permission, role_id)
    select held.permission, changed.id
    from changed, pg_catalog.unnest(changed.permissions) as held (permission)
    where held.permission is not null
    on conflict do nothing;
    return null;
end
$$;
revoke execute on function monohull.repeat_role_permissions() from public;
create trigger monohull_repeat_permissions_insert after insert on monohull.roles
    referencing new table as changed for each statement execute function monohull.repeat_role_permissions();
create trigger monohull_repeat_permissions_update after update on monohull.roles
    referencing new table as changed for each statement execute function monohull.repeat_role_permissions();
drop index monohull.ix_roles_permissions;
"""

KEYS: Final = """
create function monohull.asking_key() returns uuid
    language sql stable set search_path = '' as $$
    select case when claimed.id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then claimed.id::uuid end
    from (
        select nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb
            ->> 'monohull_key_id' as id
    ) as claimed
$$;
revoke execute on function monohull.asking_key() from public;
comment on function monohull.asking_key() is 'The API key that a request came with; null for none.';

drop function monohull.held_roles();
create function monohull.held_roles() returns table (role_id uuid, team_id uuid, is_of_key boolean)
    language sql stable security definer set search_path = '' as $$
    select a.role_id, a.team_id, false
    from monohull.role_assignments as a where a.user_id = monohull.asking_user()
    union all
    select a.role_id, a.team_id, false
    from monohull.group_members as m join monohull.role_assignments as a on a.group_id = m.group_id
    where m.user_id = monohull.asking_user()
    union all
    select a.role_id, a.team_id, true
    from monohull.role_assignments as a where a.key_id = monohull.asking_key()
$$;
revoke execute on function monohull.held_roles() from public;
comment on function monohull.held_roles() is
    'Roles of whoever asks, user and key; team_id is null for the whole instance.';

create function monohull.roles_answer(permission text, of_key boolean) returns boolean
    language sql stable security definer set search_path = '' as $$
    select case
        when monohull.asking_key() is null then true
        when permission like 'data.%' and exists (
            select from monohull.api_keys as k
            where k.id = monohull.asking_key() and not k.permissions && array['*', 'data.*']
                and (k.kind = 'secret' or k.permissions <> '{}')
        ) then false
        when of_key then true
        else exists (select from monohull.permissions as p where p.name = permission)
    end
$$;
revoke execute on function monohull.roles_answer(text, boolean) from public;
comment on function monohull.roles_answer(text, boolean) is
    'Whether roles count for a permission: those of a key, or those of a user, for whom perhaps a key asks.';

create function monohull.key_holds(permission text) returns boolean
    language sql stable security definer set search_path = '' as $$
    select exists (
        select from monohull.api_keys as k
        where k.id = monohull.asking_key() and k.permissions && monohull.permission_patterns(permission)
    )
$$;
revoke execute on function monohull.key_holds(text) from public;
comment on function monohull.key_holds(text) is 'Whether the key that asks has a permission itself.';

create or replace function monohull.has_permission(permission text, team uuid default null) returns boolean
    language sql stable security definer set search_path = '' as $$
    select case when monohull.asking_key() is null
        then coalesce(
            nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
                in ('service_role', 'supabase_admin'), false
        )
        else monohull.key_holds(permission)
    end or exists (
        select from monohull.held_roles() as h join monohull.roles as r on r.id = h.role_id
        where (h.team_id is null or h.team_id = team)
            and r.permissions && monohull.permission_patterns(permission)
            and monohull.roles_answer(permission, h.is_of_key)
    )
$$;

create or replace function monohull.teams(permission text default null) returns setof uuid
    language sql stable security definer set search_path = '' as $$
    select distinct h.team_id
    from monohull.held_roles() as h join monohull.roles as r on r.id = h.role_id
    where h.team_id is not null
        and (permission is null or (
            r.permissions && monohull.permission_patterns(permission)
            and monohull.roles_answer(permission, h.is_of_key)
        ))
$$;
"""

ROWS: Final = r"""
create function monohull.columns_for_audit(whole anyelement) returns jsonb
    language plpgsql stable set search_path = '' as $$
declare
    most_bytes constant integer := 16777216;
    columns jsonb := '{}';
    one record;
    value jsonb;
begin
    for one in
        select attname as name from pg_catalog.pg_attribute
        where attrelid = (select typrelid from pg_catalog.pg_type where oid = pg_catalog.pg_typeof(whole))
            and attnum > 0 and not attisdropped
        order by attnum
    loop
        begin
            execute pg_catalog.format('select pg_catalog.to_jsonb(($1).%I)', one.name) into value using whole;
        exception when others then
            -- json takes escapes that jsonb does not (\u0000); as text it has no need to be understood
            execute pg_catalog.format(
                'select pg_catalog.to_jsonb(pg_catalog.left(($1).%I::text, %s))', one.name, most_bytes
            ) into value using whole;
        end;
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
revoke execute on function monohull.columns_for_audit(anyelement) from public;
comment on function monohull.columns_for_audit(anyelement) is
    'A row as JSON, column by column: what cannot be JSON is text, what is huge is its size.';

create or replace function monohull.queue_row_for_audit() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    keys constant text[] := tg_argv[0]::text[];
    hidden constant text[] := tg_argv[1]::text[];
    root constant regclass := pg_catalog.pg_partition_root(tg_relid);
    relation text := tg_table_schema || '.' || tg_table_name;
    old_row jsonb;
    new_row jsonb;
    changed text[];
    key text;
    subject text;
begin
    if tg_op in ('UPDATE', 'DELETE') then
        begin
            old_row := pg_catalog.to_jsonb(old);
        exception when others then
            old_row := monohull.columns_for_audit(old);
        end;
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        begin
            new_row := pg_catalog.to_jsonb(new);
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

create function monohull.sync_audit_partitions() returns void
    language plpgsql set search_path = '' as $$
declare
    one record;
begin
    for one in
        select tgrelid::regclass as relation from pg_catalog.pg_trigger
        where tgname = 'monohull_audit_whole' and tgrelid not in (
            select relation from monohull.audited_tables
            union all
            select relid from monohull.audited_tables, pg_catalog.pg_partition_tree(relation)
        )
    loop
        execute pg_catalog.format('drop trigger monohull_audit_whole on %s', one.relation);
    end loop;
    for one in
        select relid as relation, keys::text as keys, hidden::text as hidden
        from monohull.audited_tables as marked, pg_catalog.pg_partition_tree(marked.relation) as member
        join pg_catalog.pg_class as class on class.oid = relid
        where class.relkind in ('r', 'p') and relid <> marked.relation and not exists (
            select from pg_catalog.pg_trigger where tgrelid = relid and tgname = 'monohull_audit_whole'
        )
    loop
        begin
            execute pg_catalog.format(
                'create trigger monohull_audit_whole after truncate on %s '
                'for each statement execute function monohull.queue_row_for_audit(%L, %L)',
                one.relation, one.keys, one.hidden
            );
        exception when insufficient_privilege then
            raise warning 'TRUNCATE of % cannot be audited: its owner is another role', one.relation;
        end;
    end loop;
end
$$;
revoke execute on function monohull.sync_audit_partitions() from public;
comment on function monohull.sync_audit_partitions() is
    'Have TRUNCATE of a partition audited where that of the whole table is: this trigger is not passed down.';
"""


def upgrade() -> None:
    for script in (ROLE_PERMISSIONS, KEYS, ROWS):
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    op.execute(
        "do $$ declare one record; begin for one in select tgrelid::regclass as relation from pg_trigger "
        "where tgname = 'monohull_audit_whole' "
        "and tgrelid not in (select relation from monohull.audited_tables) loop "
        "execute format('drop trigger monohull_audit_whole on %s', one.relation); end loop; end $$"
    )
    op.execute("drop function monohull.sync_audit_partitions()")
    op.execute("drop function monohull.held_roles()")
    for text in (
        *_earlier("0008", "ROWS", "queue_row_for_audit"),
        *_earlier("0010", "FUNCTIONS", "held_roles", "has_permission", "teams"),
    ):
        op.get_bind().exec_driver_sql(text)
    op.execute("revoke execute on function monohull.held_roles() from public")
    op.execute(
        "comment on function monohull.held_roles() is "
        "'Roles of whoever asks; team_id is null for the whole instance.'"
    )
    for function in ("columns_for_audit(anyelement)", "key_holds(text)", "roles_answer(text, boolean)"):
        op.execute(f"drop function monohull.{function}")
    op.execute("drop function monohull.asking_key()")
    for when in ("insert", "update"):
        op.execute(f"drop trigger monohull_repeat_permissions_{when} on monohull.roles")
    op.execute("drop function monohull.repeat_role_permissions()")
    op.execute("drop table monohull.role_permissions")
    op.execute("create index ix_roles_permissions on monohull.roles using gin (permissions)")


def _earlier(number: str, script: str, *functions: str) -> Iterator[str]:
    """Yield what makes functions anew as an earlier revision has them."""
    environment = op.get_context().environment_context
    assert environment is not None
    found = environment.script.get_revision(number)
    assert found is not None
    for statement in split(getattr(found.module, script)):
        for function in functions:
            if statement.text.startswith(f"create function monohull.{function}("):
                yield statement.text.replace("create function", "create or replace function", 1)
