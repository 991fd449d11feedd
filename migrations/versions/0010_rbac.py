"""Roles, groups, teams and who has which; the functions by which policies ask for them.

Revision ID: 0010
Revises: 0009

Every change of what somebody holds for the whole instance raises the number in
``monohull.access_version``, by triggers, so that SQL of anybody counts. The row
is locked until the change commits, which puts such changes in a row: the check
that an owner is left looks at what the change before it left. Locks are taken in one order,
which a trigger keeps for deletions of users too: user, version, assignments.
"""

from __future__ import annotations

from alembic import op

from monohull.kernel.database.server import API_ROLES
from monohull.kernel.database.sql_text import split

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OWNER = "00000000-0000-7000-8000-000000000001"

TABLES = """
create table monohull.access_version (
    is_only boolean not null default true constraint pk_access_version primary key
        constraint ck_access_version_is_only check (is_only),
    version bigint not null default 1
);
insert into monohull.access_version default values;

create table monohull.permissions (
    name text not null constraint pk_permissions primary key
        constraint ck_permissions_name check (name ~ '^[a-z][a-z0-9_]*([.:][a-z][a-z0-9_]*)+$'),
    summary text not null,
    created_at timestamptz not null default now()
);

create table monohull.roles (
    id uuid not null default gen_random_uuid() constraint pk_roles primary key,
    name text not null constraint uq_roles_name unique
        constraint ck_roles_name check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    summary text not null default '',
    permissions text[] not null default '{}',
    is_builtin boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index ix_roles_permissions on monohull.roles using gin (permissions);

create table monohull.groups (
    id uuid not null default gen_random_uuid() constraint pk_groups primary key,
    name text not null constraint uq_groups_name unique constraint ck_groups_name check (name <> ''),
    summary text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table monohull.group_members (
    group_id uuid not null
        constraint fk_group_members_group_id references monohull.groups (id) on delete cascade,
    user_id uuid not null
        constraint fk_group_members_user_id references auth.users (id) on delete cascade,
    created_at timestamptz not null default now(),
    constraint pk_group_members primary key (group_id, user_id)
);
create index ix_group_members_user_id on monohull.group_members (user_id);

create table monohull.teams (
    id uuid not null default gen_random_uuid() constraint pk_teams primary key,
    name text not null constraint ck_teams_name check (name <> ''),
    slug text not null constraint uq_teams_slug unique
        constraint ck_teams_slug check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table monohull.role_assignments (
    id uuid not null default gen_random_uuid() constraint pk_role_assignments primary key,
    role_id uuid not null
        constraint fk_role_assignments_role_id references monohull.roles (id) on delete cascade,
    user_id uuid constraint fk_role_assignments_user_id references auth.users (id) on delete cascade,
    key_id uuid constraint fk_role_assignments_key_id references monohull.api_keys (id) on delete cascade,
    group_id uuid constraint fk_role_assignments_group_id references monohull.groups (id) on delete cascade,
    team_id uuid constraint fk_role_assignments_team_id references monohull.teams (id) on delete cascade,
    created_by text,
    created_at timestamptz not null default now(),
    constraint ck_role_assignments_holder check (num_nonnulls(user_id, key_id, group_id) = 1)
);
create unique index ux_role_assignments_user on monohull.role_assignments (user_id, role_id)
    where team_id is null;
create unique index ux_role_assignments_user_team on monohull.role_assignments (user_id, team_id, role_id);
create unique index ux_role_assignments_key on monohull.role_assignments (key_id, role_id)
    where team_id is null;
create unique index ux_role_assignments_key_team on monohull.role_assignments (key_id, team_id, role_id);
create unique index ux_role_assignments_group on monohull.role_assignments (group_id, role_id)
    where team_id is null;
create unique index ux_role_assignments_group_team on monohull.role_assignments (group_id, team_id, role_id);
create index ix_role_assignments_role_id on monohull.role_assignments (role_id, created_at, id);
create index ix_role_assignments_team_id on monohull.role_assignments (team_id);
create index ix_role_assignments_created_at on monohull.role_assignments (created_at, id);
"""

DESCRIBED = {
    "access_version": "A number that grows with each change of what somebody holds for the whole instance.",
    "permissions": "Permissions that the application declares; modules register theirs in code.",
    "roles": "Bundles of permissions.",
    "groups": "Sets of users that hold roles together.",
    "group_members": "Who is in which group.",
    "teams": "Organisations of the application; a role may be held in one team alone.",
    "role_assignments": "Who holds which role: a user, a key or a group; for the instance or for one team.",
}

BUILTIN = (
    (OWNER, "owner", "Everything, other owners included.", ("*",)),
    (
        "00000000-0000-7000-8000-000000000002",
        "admin",
        "Everything that modules guard, but not what only owners hold.",
        (
            "advisors.*",
            "api_keys.*",
            "audit.*",
            "auth.*",
            "backups.*",
            "data.*",
            "functions.*",
            "jobs.*",
            "platform.*",
            "policy.*",
            "rbac.*",
            "realtime.*",
            "storage.*",
            "streams.*",
            "teams.*",
            "webhooks.*",
        ),
    ),
    (
        "00000000-0000-7000-8000-000000000003",
        "developer",
        "Builds the application: data, functions, storage and jobs, but no users and no roles.",
        (
            "advisors.*",
            "api_keys.keys:read",
            "auth.mailbox:read",
            "data.*",
            "functions.*",
            "jobs.*",
            "platform.status:read",
            "policy.*",
            "rbac.roles:read",
            "realtime.*",
            "storage.*",
            "streams.*",
            "webhooks.*",
        ),
    ),
    (
        "00000000-0000-7000-8000-000000000004",
        "auditor",
        "Reads who may do what and who did what, and changes nothing.",
        (
            "api_keys.keys:read",
            "audit.entries:read",
            "platform.status:read",
            "rbac.assignments:read",
            "rbac.groups:read",
            "rbac.roles:read",
            "teams.teams:read",
        ),
    ),
    (
        "00000000-0000-7000-8000-000000000005",
        "viewer",
        "Sees the state of the instance.",
        ("platform.status:read", "rbac.roles:read"),
    ),
    ("00000000-0000-7000-8000-000000000006", "member", "Belongs to a team; nothing more.", ()),
)

RAISE = """
create function monohull.raise_access_version() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from changed) then
        update monohull.access_version set version = version + 1;
    end if;
    return null;
end
$$;
revoke execute on function monohull.raise_access_version() from public;

create function monohull.raise_access_version_by_assignment() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from changed where changed.team_id is null) then
        update monohull.access_version set version = version + 1;
    end if;
    return null;
end
$$;
revoke execute on function monohull.raise_access_version_by_assignment() from public;

create trigger monohull_raise_version_update after update on monohull.roles
    referencing new table as changed for each statement execute function monohull.raise_access_version();
create trigger monohull_raise_version_delete after delete on monohull.roles
    referencing old table as changed for each statement execute function monohull.raise_access_version();
create trigger monohull_raise_version_insert after insert on monohull.group_members
    referencing new table as changed for each statement execute function monohull.raise_access_version();
create trigger monohull_raise_version_delete after delete on monohull.group_members
    referencing old table as changed for each statement execute function monohull.raise_access_version();
create trigger monohull_raise_version_insert after insert on monohull.role_assignments
    referencing new table as changed for each statement
    execute function monohull.raise_access_version_by_assignment();
create trigger monohull_raise_version_delete after delete on monohull.role_assignments
    referencing old table as changed for each statement
    execute function monohull.raise_access_version_by_assignment();
"""

KEPT = f"""
create function monohull.refuse_change() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    raise exception using errcode = 'MH409', message = tg_argv[0], hint = tg_argv[1];
end
$$;
revoke execute on function monohull.refuse_change() from public;
create trigger monohull_keep_assignments before update on monohull.role_assignments
    for each row when (
        (new.role_id, new.team_id, new.user_id, new.key_id, new.group_id)
            is distinct from (old.role_id, old.team_id, old.user_id, old.key_id, old.group_id)
    )
    execute function monohull.refuse_change(
        'An assignment cannot be changed.', 'Delete it and make another.');
create trigger monohull_keep_members before update on monohull.group_members
    for each row execute function monohull.refuse_change(
        'A membership cannot be changed.', 'Delete it and make another.');
create trigger monohull_keep_builtin_roles before delete on monohull.roles
    for each row when (old.is_builtin) execute function monohull.refuse_change(
        'A built-in role cannot be deleted.', 'Take it from those who have it.');
create trigger monohull_keep_owner_role before update on monohull.roles
    for each row when (old.id = '{OWNER}' and (
        new.id <> old.id or new.name <> old.name or not new.is_builtin or not '*' = any (new.permissions)
    ))
    execute function monohull.refuse_change(
        'The role owner cannot be changed.', 'Make a role of your own.');

create function monohull.has_owner() returns boolean
    language sql stable security definer set search_path = '' as $$
    select exists (
        select from monohull.role_assignments as a
        left join monohull.group_members as m on m.group_id = a.group_id
        join auth.users as u on u.id = coalesce(a.user_id, m.user_id)
        where a.role_id = '{OWNER}' and a.team_id is null and u.deleted_at is null
    )
$$;
revoke execute on function monohull.has_owner() from public;

create function monohull.demand_owner() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    counted boolean := true;
begin
    -- one branch a table: a condition may name only columns that the table has
    if tg_table_name = 'group_members' then
        counted := exists (
            select from monohull.role_assignments as a
            where a.group_id = old.group_id and a.role_id = '{OWNER}' and a.team_id is null
        );
    elsif tg_table_name = 'users' then
        counted := exists (
            select from monohull.role_assignments as a
            left join monohull.group_members as m on m.group_id = a.group_id
            where coalesce(a.user_id, m.user_id) = old.id and a.role_id = '{OWNER}' and a.team_id is null
        );
    elsif old.group_id is not null then
        -- an empty group made nobody owner; of one that is gone the members went before this runs
        counted := exists (select from monohull.group_members as m where m.group_id = old.group_id)
            or not exists (select from monohull.groups as g where g.id = old.group_id);
    end if;
    if not counted then
        return null;
    end if;
    perform from monohull.access_version for update;
    if not monohull.has_owner() then
        raise exception using errcode = 'MH409', constraint = 'last_owner',
            message = 'The last owner cannot be removed.',
            hint = 'Make somebody else owner first.';
    end if;
    return null;
end
$$;
revoke execute on function monohull.demand_owner() from public;
create function monohull.lock_access() returns trigger
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
revoke execute on function monohull.lock_access() from public;
create trigger monohull_lock_access before delete on auth.users
    for each row execute function monohull.lock_access();
create trigger monohull_demand_owner after delete on monohull.role_assignments
    for each row when (old.role_id = '{OWNER}' and old.team_id is null and old.key_id is null)
    execute function monohull.demand_owner();
create trigger monohull_demand_owner after delete on monohull.group_members
    for each row execute function monohull.demand_owner();
create trigger monohull_demand_owner after update of deleted_at on auth.users
    for each row when (old.deleted_at is null and new.deleted_at is not null)
    execute function monohull.demand_owner();
"""

FUNCTIONS = """
create function monohull.permission_patterns(permission text) returns text[]
    language sql immutable strict set search_path = '' as $$
    select array[permission, '*', pg_catalog.split_part(permission, ':', 1) || ':*'] || array(
        select pg_catalog.array_to_string(path.parts[1:last], '.') || '.*'
        from (
            select pg_catalog.string_to_array(pg_catalog.split_part(permission, ':', 1), '.') as parts
        ) as path,
             pg_catalog.generate_series(1, pg_catalog.array_length(path.parts, 1)) as last
    )
$$;
revoke execute on function monohull.permission_patterns(text) from public;
comment on function monohull.permission_patterns(text) is 'Every pattern that includes a permission.';

create function monohull.asking_user() returns uuid
    language sql stable set search_path = '' as $$
    select case when claimed.sub ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
                then claimed.sub::uuid end
    from (
        select nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub' as sub
    ) as claimed
$$;
revoke execute on function monohull.asking_user() from public;
comment on function monohull.asking_user() is 'Whose request this is; null for strangers.';

create function monohull.held_roles() returns table (role_id uuid, team_id uuid)
    language sql stable security definer set search_path = '' as $$
    select a.role_id, a.team_id from monohull.role_assignments as a where a.user_id = monohull.asking_user()
    union all
    select a.role_id, a.team_id
    from monohull.group_members as m join monohull.role_assignments as a on a.group_id = m.group_id
    where m.user_id = monohull.asking_user()
$$;
revoke execute on function monohull.held_roles() from public;
comment on function monohull.held_roles() is 'Roles of whoever asks; team_id is null for the whole instance.';

create function monohull.has_permission(permission text, team uuid default null) returns boolean
    language sql stable security definer set search_path = '' as $$
    select coalesce(
        nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
            in ('service_role', 'supabase_admin'), false
    ) or exists (
        select from monohull.held_roles() as h join monohull.roles as r on r.id = h.role_id
        where (h.team_id is null or h.team_id = team)
            and r.permissions && monohull.permission_patterns(permission)
    )
$$;
comment on function monohull.has_permission(text, uuid) is
    'Whether whoever asks holds a permission, here or in a team. Write it in (select …).';

create function monohull.has_role(role text, team uuid default null) returns boolean
    language sql stable security definer set search_path = '' as $$
    select exists (
        select from monohull.held_roles() as h join monohull.roles as r on r.id = h.role_id
        where (h.team_id is null or h.team_id = team) and r.name = role
    )
$$;
comment on function monohull.has_role(text, uuid) is
    'Whether whoever asks has a role, here or in a team. Write it in (select …).';

create function monohull.teams(permission text default null) returns setof uuid
    language sql stable security definer set search_path = '' as $$
    select distinct h.team_id
    from monohull.held_roles() as h join monohull.roles as r on r.id = h.role_id
    where h.team_id is not null
        and (permission is null or r.permissions && monohull.permission_patterns(permission))
$$;
comment on function monohull.teams(text) is
    'Teams of whoever asks, or those where a permission is held. Write it in any (array(select …)).';
"""

ASKED = (
    "monohull.has_permission(text, uuid)",
    "monohull.has_role(text, uuid)",
    "monohull.teams(text)",
)


def upgrade() -> None:
    for script in (TABLES, RAISE, KEPT, FUNCTIONS):
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)
    for name, description in DESCRIBED.items():
        op.execute(f"alter table monohull.{name} enable row level security")
        op.execute(f"revoke all on monohull.{name} from public")
        op.execute(f"comment on table monohull.{name} is '{description}'")
    for role_id, name, summary, permissions in BUILTIN:
        held = ", ".join(f"'{permission}'" for permission in permissions)
        op.execute(
            "insert into monohull.roles (id, name, summary, permissions, is_builtin) "
            f"values ('{role_id}', '{name}', '{summary}', array[{held}]::text[], true)"
        )
    roles = ", ".join(API_ROLES)
    op.execute(f"grant usage on schema monohull to {roles}")
    for function in ASKED:
        op.execute(f"revoke execute on function {function} from public")
        op.execute(f"grant execute on function {function} to {roles}")


def downgrade() -> None:
    op.execute(f"revoke usage on schema monohull from {', '.join(API_ROLES)}")
    op.execute("drop trigger monohull_demand_owner on auth.users")
    op.execute("drop trigger monohull_lock_access on auth.users")
    for table in reversed(DESCRIBED):
        op.execute(f"drop table monohull.{table}")
    for function in (
        *ASKED,
        "monohull.held_roles()",
        "monohull.asking_user()",
        "monohull.permission_patterns(text)",
        "monohull.lock_access()",
        "monohull.demand_owner()",
        "monohull.has_owner()",
        "monohull.refuse_change()",
        "monohull.raise_access_version_by_assignment()",
        "monohull.raise_access_version()",
    ):
        op.execute(f"drop function {function}")
