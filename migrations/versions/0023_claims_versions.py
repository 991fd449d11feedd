"""Count what changes about users that their tokens repeat, so that a token can say what it has seen.

Revision ID: 0023
Revises: 0022

``auth.users.claims_version`` is the moment of the last such change, in microseconds since 1970, and
larger than the one before whatever the clock says. A token carries the version of the row that it was
written from: it is older than a change when its version is, however few milliseconds lie between the two
and in whatever order their transactions end. A user who comes back by the same id starts later than the
deletion.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0023"
down_revision: Final = "0022"
branch_labels: Final = None
depends_on: Final = None

COLUMN: Final = """
alter table auth.users add column claims_version bigint not null default 0;
alter table auth.users alter column claims_version
    set default (extract(epoch from clock_timestamp()) * 1000000)::bigint;
create function monohull.next_claims_version(last bigint) returns bigint
    language sql volatile set search_path = '' as $$
    select greatest(last + 1, (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint)
$$;
revoke execute on function monohull.next_claims_version(bigint) from public;
"""

COUNTED: Final = """
create function monohull.count_changed_user() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    new.claims_version := monohull.next_claims_version(old.claims_version);
    return new;
end
$$;
revoke execute on function monohull.count_changed_user() from public;
"""

TRIGGERS: Final = """
create trigger zzz_monohull_count_changed_user before update on auth.users
    for each row when ({changed}) execute function monohull.count_changed_user();
drop trigger monohull_note_changed_user on auth.users;
create trigger monohull_note_changed_user after update on auth.users
    for each row when ({changed}) execute function monohull.note_changed_user();
"""
"""The first is last by its name: what other triggers change of a row counts too."""

TRIGGER_BEFORE: Final = """
drop trigger zzz_monohull_count_changed_user on auth.users;
drop trigger monohull_note_changed_user on auth.users;
create trigger monohull_note_changed_user
    after update of role, banned_until, deleted_at, raw_app_meta_data on auth.users
    for each row when ({changed}) execute function monohull.note_changed_user();
"""

CHANGED: Final = """
        old.banned_until is distinct from new.banned_until
        or old.deleted_at is distinct from new.deleted_at
        or old.role is distinct from new.role
        or old.raw_app_meta_data - 'provider' - 'providers'
            is distinct from new.raw_app_meta_data - 'provider' - 'providers'
"""

NOTED: Final = """
create or replace function monohull.note_changed_user() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    state jsonb;
begin
    if tg_op = 'DELETE' then
        state := pg_catalog.jsonb_build_object(
            'deleted', true,{deleted}
        );
    else
        state := pg_catalog.jsonb_build_object(
            'deleted', new.deleted_at is not null,{changed}
            'banned_until', extract(epoch from nullif(new.banned_until, 'infinity'))
        );
        if new.banned_until = 'infinity' then
            state := state || '{{"banned_until": 253402300799}}';
        end if;
        if new.role is distinct from old.role then
            state := state
                || pg_catalog.jsonb_build_object('role', coalesce(nullif(new.role, ''), 'authenticated'));
        end if;
        if new.raw_app_meta_data is distinct from old.raw_app_meta_data then
            state := state
                || pg_catalog.jsonb_build_object('app_metadata', coalesce(new.raw_app_meta_data, '{{}}'));
        end if;
    end if;
    insert into monohull.revocations (kind, subject, state) values ('user', old.id, state);
    perform pg_catalog.pg_notify('monohull_revocations', '');
    return null;
end
$$;
"""


def upgrade() -> None:
    _run(COLUMN)
    _run(COUNTED)
    _run(TRIGGERS.format(changed=CHANGED))
    _run(
        NOTED.format(
            deleted=" 'version', monohull.next_claims_version(old.claims_version)",
            changed=" 'version', new.claims_version,",
        )
    )


def downgrade() -> None:
    _run(NOTED.format(deleted=" 'banned_until', null", changed=""))
    _run(TRIGGER_BEFORE.format(changed=CHANGED))
    op.execute("drop function monohull.count_changed_user()")
    op.execute("drop function monohull.next_claims_version(bigint)")
    op.execute("alter table auth.users drop column claims_version")


def _run(script: str) -> None:
    for statement in split(script):
        op.get_bind().exec_driver_sql(statement.text)
