"""What a trigger asks of rows that it wrote in one go: whether one is large, or may hold what no text can.

Revision ID: 0030
Revises: 0029

Trigger functions that were written before do not ask them, until a worker
writes them anew within a minute. On the way back they go with the functions
and triggers that ask; a worker of the version before makes those again within
a minute of its start, and rows that change until then are not told.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0030"
down_revision: Final = "0029"
branch_labels: Final = None
depends_on: Final = None

CHANGES: Final = r"""
create function monohull.keeps_json(relation regclass) returns boolean
    language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from pg_attribute
        where attrelid = relation and attnum > 0 and not attisdropped
            and atttypid in ('json'::regtype, 'json[]'::regtype)
    );
end
$$;
revoke execute on function monohull.keeps_json(regclass) from public;
comment on function monohull.keeps_json(regclass) is
    'Whether a column keeps JSON as it was written; asked when a plan is made, as has_plain_types is';

create function monohull.are_small(rows json[], most_bytes integer) returns boolean
    language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    return not exists (select from unnest(rows) as each (whole) where octet_length(whole::text) > most_bytes);
end
$$;
revoke execute on function monohull.are_small(json[], integer) from public;
comment on function monohull.are_small(json[], integer) is 'Whether no row is larger than that';
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
drop function monohull.are_small(json[], integer);
drop function monohull.keeps_json(regclass);
"""


def upgrade() -> None:
    for statement in split(CHANGES):
        op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    for statement in split(UNDO):
        op.get_bind().exec_driver_sql(statement.text)
