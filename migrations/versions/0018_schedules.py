"""Schedules, what became of their runs, and the functions that steer them from SQL.

Revision ID: 0018
Revises: 0017

How far a schedule was looked at (``ticked_until``) moves in the transaction that
begins its runs. A run that has no job waits. Runs outlive their schedule and
their job: they are the history.

The functions may be granted to roles of the application. `schedule_statement`
is none of them: what it stores runs as another role, so it works for whoever
may write the table, which is the owner.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0018"
down_revision: Final = "0017"
branch_labels: Final = None
depends_on: Final = None

TABLES: Final = r"""
create table monohull.schedules (
    name text not null constraint pk_schedules primary key
        constraint ck_schedules_name check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}$'),
    source text not null constraint ck_schedules_source check (source in ('code', 'project', 'api', 'sql')),
    fields text not null,
    timezone text not null default 'UTC',
    job text,
    arguments jsonb not null default '{}'
        constraint ck_schedules_arguments check (jsonb_typeof(arguments) = 'object'),
    statement text,
    database_role text,
    timeout_seconds integer not null default 60
        constraint ck_schedules_timeout_seconds check (timeout_seconds between 1 and 3600),
    missed text not null default 'once'
        constraint ck_schedules_missed check (missed in ('skip', 'once', 'all')),
    catch_up_limit integer not null default 100
        constraint ck_schedules_catch_up_limit check (catch_up_limit between 1 and 1000),
    overlap text not null default 'skip'
        constraint ck_schedules_overlap check (overlap in ('skip', 'queue', 'allow')),
    late_after_seconds integer not null default 300
        constraint ck_schedules_late_after_seconds check (late_after_seconds between 1 and 604800),
    paused_at timestamptz,
    ticked_until timestamptz not null default now(),
    next_at timestamptz,
    fault text,
    seen_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ck_schedules_action check (num_nonnulls(job, statement) = 1),
    constraint ck_schedules_role check ((statement is null) = (database_role is null))
);
create index ix_schedules_next_at on monohull.schedules (next_at) where paused_at is null;
alter table monohull.schedules enable row level security;
revoke all on monohull.schedules from public;
comment on table monohull.schedules is 'When which job or statement runs by itself.';

create table monohull.schedule_runs (
    id uuid not null constraint pk_schedule_runs primary key,
    schedule text not null,
    tick timestamptz not null,
    kind text not null constraint ck_schedule_runs_kind check (kind in ('tick', 'catch_up', 'manual')),
    job_id uuid,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    ended_at timestamptz,
    outcome text,
    error text,
    attempts integer not null default 0,
    late_seconds double precision,
    is_late boolean not null default false,
    constraint ck_schedule_runs_ended check ((outcome is null) = (ended_at is null))
);
create index ix_schedule_runs_schedule on monohull.schedule_runs (schedule, tick desc, id);
create index ix_schedule_runs_open on monohull.schedule_runs (schedule, tick) where ended_at is null;
create index ix_schedule_runs_ended_at on monohull.schedule_runs (ended_at) where ended_at is not null;
alter table monohull.schedule_runs enable row level security;
revoke all on monohull.schedule_runs from public;
comment on table monohull.schedule_runs is
    'What became of each tick of each schedule; a run without outcome and job waits for the one before it.';
"""

GUARDS: Final = r"""
create function monohull.check_schedule_field(
    field text, what text, low integer, high integer, names text[] default '{}'
) returns void
    language plpgsql immutable set search_path = '' as $$
declare
    given text;
    item text;
    parts text[];
    first integer;
    last integer;
begin
    foreach given in array pg_catalog.string_to_array(pg_catalog.lower(field), ',') loop
        item := given;
        for nth in 1 .. pg_catalog.cardinality(names) loop
            item := pg_catalog.regexp_replace(
                item, '\m' || names[nth] || '\M', (low + nth - 1)::text, 'g'
            );
        end loop;
        parts := pg_catalog.regexp_match(item, '^(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?$');
        first := coalesce(parts[1]::integer, low);
        last := coalesce(
            parts[2]::integer, case when parts[1] is null or parts[3] is not null then high else first end
        );
        if parts is null or first < low or last > high or first > last or parts[3]::integer = 0 then
            raise exception using errcode = '22023',
                message = pg_catalog.format('"%s" is no %s of a schedule', given, what),
                hint = pg_catalog.format(
                    'Write * or numbers from %s to %s: 5, 1-5, */10, 1,15.', low, high
                );
        end if;
    end loop;
end
$$;

create function monohull.check_schedule() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    parts text[];
begin
    new.fields := pg_catalog.btrim(pg_catalog.regexp_replace(new.fields, '\s+', ' ', 'g'));
    parts := pg_catalog.string_to_array(new.fields, ' ');
    if pg_catalog.cardinality(parts) <> 5 then
        raise exception using errcode = '22023',
            message = pg_catalog.format('"%s" is not five fields as cron has them', new.fields),
            hint = 'Write minute, hour, day of month, month and day of week, such as */5 * * * *.';
    end if;
    perform monohull.check_schedule_field(parts[1], 'minute', 0, 59);
    perform monohull.check_schedule_field(parts[2], 'hour', 0, 23);
    perform monohull.check_schedule_field(parts[3], 'day of month', 1, 31);
    perform monohull.check_schedule_field(
        parts[4], 'month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'
    );
    perform monohull.check_schedule_field(
        parts[5], 'day of week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}'
    );
    if not exists (select from pg_catalog.pg_timezone_names as zone where zone.name = new.timezone) then
        raise exception using errcode = '22023',
            message = pg_catalog.format('no time zone is called "%s"', new.timezone),
            hint = 'Write one such as UTC or Europe/Berlin.';
    end if;
    if new.statement is not null and new.database_role is not null and not exists (
        select from pg_catalog.pg_roles as r
        where r.rolname = new.database_role and not r.rolsuper
            and not pg_catalog.pg_has_role(r.oid, (
                select relowner from pg_catalog.pg_class where oid = tg_relid
            ), 'MEMBER')
    ) then
        raise exception using errcode = '22023',
            message = pg_catalog.format('statements of schedules cannot run as "%s"', new.database_role),
            hint = 'Name a role that exists, is no superuser and no member of the owner of the database.';
    end if;
    if tg_op = 'INSERT' then
        new.next_at := null;
    elsif (new.fields, new.timezone) is distinct from (old.fields, old.timezone) then
        new.next_at := null;
        new.fault := null;
        new.ticked_until := greatest(new.ticked_until, pg_catalog.now());
    end if;
    return new;
end
$$;
create trigger monohull_check_schedule before insert or update of fields, timezone, statement, database_role
    on monohull.schedules for each row when (new.source <> 'code')
    execute function monohull.check_schedule();

create function monohull.end_waiting_runs() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    update monohull.schedule_runs
    set outcome = 'skipped', ended_at = pg_catalog.now(), error = 'the schedule was deleted'
    where schedule = old.name and ended_at is null and job_id is null;
    return null;
end
$$;
create trigger monohull_end_waiting_runs after delete on monohull.schedules
    for each row execute function monohull.end_waiting_runs();
"""

VERBS: Final = r"""
create function monohull.schedule(
    name text, schedule text, job text, arguments jsonb default '{}', timezone text default 'UTC',
    missed text default 'once', overlap text default 'skip', catch_up_limit integer default 100,
    late_after_seconds integer default 300
) returns text
    language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
    insert into monohull.schedules as known
        (name, source, fields, timezone, job, arguments, missed, overlap, catch_up_limit, late_after_seconds)
    values ($1, 'sql', $2, $5, $3, $4, $6, $7, $8, $9)
    on conflict (name) do update set
        source = 'sql', fields = excluded.fields, timezone = excluded.timezone, job = excluded.job,
        arguments = excluded.arguments, statement = null, database_role = null, missed = excluded.missed,
        overlap = excluded.overlap, catch_up_limit = excluded.catch_up_limit,
        late_after_seconds = excluded.late_after_seconds, updated_at = pg_catalog.now()
    where known.source in ('api', 'sql') and known.statement is null;
    if not found then
        raise exception using errcode = 'MH409',
            message = pg_catalog.format('the schedule "%s" is declared elsewhere', $1),
            hint = 'Choose another name, or change it where it is declared.';
    end if;
    perform pg_catalog.pg_notify('monohull_outbox', '');
    return $1;
end
$$;

create function monohull.schedule_statement(
    name text, schedule text, statement text, database_role text, timezone text default 'UTC',
    missed text default 'once', overlap text default 'skip', catch_up_limit integer default 100,
    late_after_seconds integer default 300, timeout_seconds integer default 60
) returns text
    language plpgsql set search_path = '' as $$
#variable_conflict use_column
begin
    insert into monohull.schedules as known
        (name, source, fields, timezone, statement, database_role, missed, overlap, catch_up_limit,
         late_after_seconds, timeout_seconds)
    values ($1, 'sql', $2, $5, $3, $4, $6, $7, $8, $9, $10)
    on conflict (name) do update set
        source = 'sql', fields = excluded.fields, timezone = excluded.timezone, job = null, arguments = '{}',
        statement = excluded.statement, database_role = excluded.database_role, missed = excluded.missed,
        overlap = excluded.overlap, catch_up_limit = excluded.catch_up_limit,
        late_after_seconds = excluded.late_after_seconds, timeout_seconds = excluded.timeout_seconds,
        updated_at = pg_catalog.now()
    where known.source in ('api', 'sql');
    if not found then
        raise exception using errcode = 'MH409',
            message = pg_catalog.format('the schedule "%s" is declared elsewhere', $1),
            hint = 'Choose another name, or change it where it is declared.';
    end if;
    perform pg_catalog.pg_notify('monohull_outbox', '');
    return $1;
end
$$;

create function monohull.unschedule(name text) returns boolean
    language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
    delete from monohull.schedules as known where known.name = $1 and known.source in ('api', 'sql');
    return found;
end
$$;

create function monohull.pause_schedule(name text) returns boolean
    language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
    update monohull.schedules as known set paused_at = coalesce(known.paused_at, pg_catalog.now())
    where known.name = $1;
    return found;
end
$$;

create function monohull.resume_schedule(name text) returns boolean
    language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
    update monohull.schedules as known
    set paused_at = null,
        next_at = case when known.paused_at is null then known.next_at end,
        ticked_until = case
            when known.paused_at is null then known.ticked_until
            else greatest(known.ticked_until, pg_catalog.now())
        end
    where known.name = $1;
    return found;
end
$$;

create function monohull.run_schedule(name text) returns uuid
    language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
    run uuid := pg_catalog.gen_random_uuid();
    overlap text;
begin
    select known.overlap into overlap from monohull.schedules as known where known.name = $1 for update;
    if not found then
        raise exception using errcode = '42704',
            message = pg_catalog.format('no schedule is called "%s"', $1);
    end if;
    if overlap = 'skip' and exists (
        select from monohull.schedule_runs as r where r.schedule = $1 and r.ended_at is null
    ) then
        raise exception using errcode = 'MH409', constraint = 'schedule_busy',
            message = pg_catalog.format('a run of the schedule "%s" has not ended', $1),
            hint = 'Wait for it, or let the schedule queue its runs or allow several.';
    end if;
    insert into monohull.schedule_runs (id, schedule, tick, kind)
    values (run, $1, pg_catalog.clock_timestamp(), 'manual');
    perform pg_catalog.pg_notify('monohull_outbox', '');
    return run;
end
$$;
"""

FUNCTIONS: Final = (
    ("schedule(text, text, text, jsonb, text, text, text, integer, integer)", "Have a job run at its times."),
    (
        "schedule_statement(text, text, text, text, text, text, text, integer, integer, integer)",
        "Have a statement run at its times, as a role that is not the owner.",
    ),
    ("unschedule(text)", "Delete a schedule that SQL or the API made."),
    ("pause_schedule(text)", "Have a schedule do nothing until it is resumed."),
    ("resume_schedule(text)", "Let a schedule go on; ticks of the pause are not made up for."),
    ("run_schedule(text)", "Have a schedule run once, now; returns the id of the run."),
    (
        "check_schedule_field(text, text, integer, integer, text[])",
        "Refuse what is no field of a schedule.",
    ),
    ("check_schedule()", "Refuse what is no schedule, and have a changed one looked at anew."),
    ("end_waiting_runs()", "End the runs that wait when their schedule is deleted."),
)
ROLES: Final = ("admin", "developer")


def upgrade() -> None:
    for script in (TABLES, GUARDS, VERBS):
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)
    for function, description in FUNCTIONS:
        op.execute(f"revoke execute on function monohull.{function} from public")
        op.execute(f"comment on function monohull.{function} is '{description}'")
    for role in ROLES:
        op.execute(
            "update monohull.roles set permissions = array_append(permissions, 'schedules.*') "
            f"where name = '{role}' and is_builtin and not 'schedules.*' = any (permissions)"
        )


def downgrade() -> None:
    for role in ROLES:
        op.execute(
            "update monohull.roles set permissions = array_remove(permissions, 'schedules.*') "
            f"where name = '{role}' and is_builtin"
        )
    op.execute("drop table monohull.schedule_runs")
    op.execute("drop table monohull.schedules")
    for function, _ in FUNCTIONS:
        op.execute(f"drop function monohull.{function}")
