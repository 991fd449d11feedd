"""Cached tables: a trigger function that tells which table a transaction has changed.

Revision ID: 0028
Revises: 0027

A table is marked by a trigger that calls it, so on the way back the marks go.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0028"
down_revision: Final = "0027"
branch_labels: Final = None
depends_on: Final = None

TELL: Final = """
create function monohull.tell_of_rows() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_notify('monohull_cache', format('rows %s %s', tg_relid, pg_current_xact_id()));
    return null;
end
$$;
"""
REVOKE: Final = "revoke execute on function monohull.tell_of_rows() from public"
COMMENT: Final = (
    "comment on function monohull.tell_of_rows() is "
    "'Tells the response cache, once a transaction, that rows of a cached table may be others'"
)


GIVE: Final = """
update monohull.roles set permissions = array_append(permissions, 'rest.cache:*')
where name in ('admin', 'developer') and is_builtin and not permissions && array['*', 'rest.cache:*']
"""
TAKE: Final = """
update monohull.roles set permissions = array_remove(permissions, 'rest.cache:*') where is_builtin
"""


def upgrade() -> None:
    for statement in (TELL, REVOKE, COMMENT, GIVE):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(TAKE)
    op.get_bind().exec_driver_sql("drop function monohull.tell_of_rows() cascade")
