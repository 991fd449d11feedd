"""Which columns of a relation a role may read and write.

Revision ID: 0012
Revises: 0011

Relations and columns are named and not referred to: a rule outlives a view that is
dropped and made again. A change counts like one of the roles themselves. So does
from now on an assignment in one team, for rules of columns know no teams.
"""

from __future__ import annotations

from alembic import op

from monohull.kernel.database.sql_text import split

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = """
create table monohull.role_columns (
    role_id uuid not null
        constraint fk_role_columns_role_id references monohull.roles (id) on delete cascade,
    schema_name text not null,
    relation_name text not null,
    reads text[],
    writes text[],
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint pk_role_columns primary key (role_id, schema_name, relation_name),
    constraint ck_role_columns_says check (num_nonnulls(reads, writes) > 0)
);
create trigger monohull_raise_version_insert after insert on monohull.role_columns
    referencing new table as changed for each statement execute function monohull.raise_access_version();
create trigger monohull_raise_version_update after update on monohull.role_columns
    referencing new table as changed for each statement execute function monohull.raise_access_version();
create trigger monohull_raise_version_delete after delete on monohull.role_columns
    referencing old table as changed for each statement execute function monohull.raise_access_version();
"""

RAISE = """
create or replace function monohull.raise_access_version_by_assignment() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if exists (
        select from changed
        where changed.team_id is null
            or exists (select from monohull.role_columns as c where c.role_id = changed.role_id)
    ) then
        update monohull.access_version set version = version + 1;
    end if;
    return null;
end
$$;
"""

RAISE_BEFORE = """
create or replace function monohull.raise_access_version_by_assignment() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from changed where changed.team_id is null) then
        update monohull.access_version set version = version + 1;
    end if;
    return null;
end
$$;
"""


def upgrade() -> None:
    for statement in (*split(TABLE), *split(RAISE)):
        op.get_bind().exec_driver_sql(statement.text)
    op.execute("alter table monohull.role_columns enable row level security")
    op.execute("revoke all on monohull.role_columns from public")
    op.execute("comment on table monohull.role_columns is 'Columns that a role leaves of a relation.'")


def downgrade() -> None:
    for statement in split(RAISE_BEFORE):
        op.get_bind().exec_driver_sql(statement.text)
    op.execute("drop table monohull.role_columns")
