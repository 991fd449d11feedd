"""Answers of the data API that are kept for their Idempotency-Key.

Revision ID: 0021
Revises: 0020

The data login itself reads and writes them, before it switches to the caller's role and after it came back,
so no role of the API may. A row is seen by others once its answer is in it.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0021"
down_revision: Final = "0020"
branch_labels: Final = None
depends_on: Final = None

TABLES = """
create table monohull.idempotent_answers (
    owner bytea not null,
    key text not null,
    fingerprint bytea not null,
    status integer,
    headers text,
    body bytea,
    expires_at timestamptz not null,
    constraint pk_idempotent_answers primary key (owner, key)
);
create index ix_idempotent_answers_expires_at on monohull.idempotent_answers (expires_at);
comment on table monohull.idempotent_answers is 'What writes with an Idempotency-Key were answered.';
grant usage on schema monohull to authenticator;
grant select, insert, update on monohull.idempotent_answers to authenticator;
"""


def upgrade() -> None:
    for statement in split(TABLES):
        op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    op.execute("drop table monohull.idempotent_answers")
    op.execute("revoke usage on schema monohull from authenticator")
