"""Invitations into teams, the team a session works in, and no team without its last owner.

Revision ID: 0011
Revises: 0010

Teams and who holds what in them are tables of 0010. Locks are taken in one order here too: user, team,
assignments, sessions.
"""

from __future__ import annotations

from alembic import op

from monohull.kernel.database.server import API_ROLES
from monohull.kernel.database.sql_text import split

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OWNER = "00000000-0000-7000-8000-000000000001"

TABLES = """
create table monohull.team_invitations (
    id uuid not null default gen_random_uuid() constraint pk_team_invitations primary key,
    team_id uuid not null
        constraint fk_team_invitations_team_id references monohull.teams (id) on delete cascade,
    email text not null constraint ck_team_invitations_email check (email <> '' and email = lower(email)),
    role_id uuid not null
        constraint fk_team_invitations_role_id references monohull.roles (id) on delete cascade,
    token_hash text not null constraint uq_team_invitations_token_hash unique,
    invited_by uuid
        constraint fk_team_invitations_invited_by references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    sent_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint uq_team_invitations_team_id_email unique (team_id, email)
);
create index ix_team_invitations_email on monohull.team_invitations (email);
create index ix_team_invitations_role_id on monohull.team_invitations (role_id);
create index ix_team_invitations_invited_by on monohull.team_invitations (invited_by);
create index ix_team_invitations_expires_at on monohull.team_invitations (expires_at);
alter table monohull.team_invitations enable row level security;
revoke all on monohull.team_invitations from public;
comment on table monohull.team_invitations is
    'Who is asked to join a team, by address; gone once it is accepted, declined or revoked.';

alter table auth.sessions add column team_id uuid
    constraint fk_sessions_team_id references monohull.teams (id) on delete set null;
create index ix_sessions_team_id on auth.sessions (team_id) where team_id is not null;
"""

KEPT = f"""
create function monohull.is_in_team(member uuid, team uuid) returns boolean
    language sql stable security definer set search_path = '' as $$
    select exists (
        select from monohull.role_assignments as a
        left join monohull.group_members as m on m.group_id = a.group_id
        where a.team_id = team and coalesce(a.user_id, m.user_id) = member
    )
$$;
revoke execute on function monohull.is_in_team(uuid, uuid) from public;

create function monohull.team_has_owner(team uuid) returns boolean
    language sql stable security definer set search_path = '' as $$
    select exists (
        select from monohull.role_assignments as a
        left join monohull.group_members as m on m.group_id = a.group_id
        join auth.users as u on u.id = coalesce(a.user_id, m.user_id)
        where a.role_id = '{OWNER}' and a.team_id = team and u.deleted_at is null
    )
$$;
revoke execute on function monohull.team_has_owner(uuid) from public;

create function monohull.demand_team_owner() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    concerned uuid[];
    team uuid;
begin
    -- one branch a table: a condition may name only columns that the table has
    if tg_table_name = 'group_members' then
        concerned := array(
            select a.team_id from monohull.role_assignments as a
            where a.group_id = old.group_id and a.role_id = '{OWNER}' and a.team_id is not null
        );
    elsif tg_table_name = 'users' then
        concerned := array(
            select a.team_id from monohull.role_assignments as a
            left join monohull.group_members as m on m.group_id = a.group_id
            where coalesce(a.user_id, m.user_id) = old.id and a.role_id = '{OWNER}' and a.team_id is not null
        );
    elsif old.group_id is null
        or exists (select from monohull.group_members as m where m.group_id = old.group_id)
        or not exists (select from monohull.groups as g where g.id = old.group_id)
    then
        concerned := array[old.team_id];
    end if;
    -- of a team that is deleted itself nothing is left to lock
    for team in
        select t.id from monohull.teams as t where t.id = any (concerned) order by t.id for no key update
    loop
        if not monohull.team_has_owner(team) then
            raise exception using errcode = 'MH409', constraint = 'last_team_owner',
                message = 'The last owner of a team cannot be removed.',
                hint = 'Make another member of the team ' || team || ' owner first, or delete the team.';
        end if;
    end loop;
    return null;
end
$$;
revoke execute on function monohull.demand_team_owner() from public;
create trigger monohull_demand_team_owner after delete on monohull.role_assignments
    for each row when (old.role_id = '{OWNER}' and old.team_id is not null and old.key_id is null)
    execute function monohull.demand_team_owner();
create trigger monohull_demand_team_owner after delete on monohull.group_members
    for each row execute function monohull.demand_team_owner();
create trigger monohull_demand_team_owner after update of deleted_at on auth.users
    for each row when (old.deleted_at is null and new.deleted_at is not null)
    execute function monohull.demand_team_owner();

create function monohull.end_active_team() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if tg_table_name = 'group_members' then
        update auth.sessions as s set team_id = null
        where s.user_id = old.user_id and s.team_id is not null
            and not monohull.is_in_team(s.user_id, s.team_id);
    else
        update auth.sessions as s set team_id = null
        where s.team_id = old.team_id and (old.user_id is null or s.user_id = old.user_id)
            and not monohull.is_in_team(s.user_id, s.team_id);
    end if;
    return null;
end
$$;
revoke execute on function monohull.end_active_team() from public;
create trigger monohull_end_active_team after delete on monohull.role_assignments
    for each row when (old.team_id is not null and old.key_id is null)
    execute function monohull.end_active_team();
create trigger monohull_end_active_team after delete on monohull.group_members
    for each row execute function monohull.end_active_team();
"""

ACTIVE = """
create function monohull.active_team() returns uuid
    language sql stable security definer set search_path = '' as $$
    select s.team_id
    from (
        select nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb
            ->> 'session_id' as id
    ) as claimed
    join auth.sessions as s on s.id = case
        when claimed.id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then claimed.id::uuid end
    where s.user_id = monohull.asking_user() and monohull.is_in_team(s.user_id, s.team_id)
$$;
comment on function monohull.active_team() is
    'The team that whoever asks has switched to in this session; null without one. Write it in (select …).';
"""

TRIGGERS = {
    "monohull.role_assignments": ("monohull_end_active_team", "monohull_demand_team_owner"),
    "monohull.group_members": ("monohull_end_active_team", "monohull_demand_team_owner"),
    "auth.users": ("monohull_demand_team_owner",),
}
FUNCTIONS = (
    "active_team()",
    "end_active_team()",
    "demand_team_owner()",
    "team_has_owner(uuid)",
    "is_in_team(uuid, uuid)",
)


def upgrade() -> None:
    for script in (TABLES, KEPT, ACTIVE):
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)
    op.execute("revoke execute on function monohull.active_team() from public")
    op.execute(f"grant execute on function monohull.active_team() to {', '.join(API_ROLES)}")


def downgrade() -> None:
    for table, triggers in TRIGGERS.items():
        for trigger in triggers:
            op.execute(f"drop trigger {trigger} on {table}")
    for function in FUNCTIONS:
        op.execute(f"drop function monohull.{function}")
    op.execute("alter table auth.sessions drop column team_id")
    op.execute("drop table monohull.team_invitations")
