"""Streams: sinks that carry events from the feed to message brokers.

Revision ID: 0024
Revises: 0023

A sink's place in the feed is a row of ``feed_readers``, called ``streams.`` and its id, so that events are
kept for it and its lag is measured as that of every reader. Sinks reach any server, and ``streams.*`` holds
making them: the built-in role of developers, which had that pattern before there were sinks, sees them.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0024"
down_revision: Final = "0023"
branch_labels: Final = None
depends_on: Final = None

TABLES = """
create table monohull.stream_sinks (
    id uuid not null constraint pk_stream_sinks primary key,
    name text not null constraint ck_stream_sinks_name check (name <> ''),
    kind text not null,
    address text not null,
    target jsonb not null,
    sealed_target text not null,
    events text[] not null default '{}',
    rows jsonb not null default '[]',
    format text not null default 'structured'
        constraint ck_stream_sinks_format check (format in ('structured', 'binary')),
    is_paused boolean not null default false,
    revision integer not null default 1,
    delivered bigint not null default 0,
    last_delivered_at timestamptz,
    consecutive_failures integer not null default 0,
    failing_since timestamptz,
    last_error text,
    last_error_at timestamptz,
    next_attempt_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
alter table monohull.stream_sinks enable row level security;
revoke all on monohull.stream_sinks from public;
comment on table monohull.stream_sinks is 'Brokers that events are carried to, which, and how that goes.';
"""

ROLES = """
update monohull.roles set permissions = array_replace(permissions, '{held}', '{holds}')
where name = 'developer' and is_builtin
"""


def upgrade() -> None:
    for statement in split(TABLES):
        op.get_bind().exec_driver_sql(statement.text)
    op.execute(ROLES.format(held="streams.*", holds="streams.sinks:read"))


def downgrade() -> None:
    op.execute(ROLES.format(held="streams.sinks:read", holds="streams.*"))
    op.execute("delete from monohull.feed_readers where name like 'streams.%'")
    op.execute("delete from monohull.row_watches where watcher like 'streams:%'")
    op.execute("drop table monohull.stream_sinks")
