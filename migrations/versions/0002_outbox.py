"""Outbox, job ledger and dead letters.

Revision ID: 0002
Revises: 0001

`outbox` is a log that the relay reads in the order of transactions. `jobs` is
the truth about every job that was promised; what Redis holds is a copy for
the workers. Both partial indexes are as small as the work that is left.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = (
    """
    create table monohull.outbox (
        position bigint generated always as identity primary key,
        id uuid not null constraint outbox_id_key unique,
        transaction_id xid8 not null default pg_current_xact_id(),
        name text not null,
        version smallint not null,
        key text,
        actor text,
        request_id text,
        traceparent text,
        payload json not null,
        occurred_at timestamptz not null default now(),
        relayed_at timestamptz
    )
    """,
    "create index outbox_unrelayed on monohull.outbox (transaction_id, position) where relayed_at is null",
    "create index outbox_relayed on monohull.outbox (relayed_at) where relayed_at is not null",
    "comment on table monohull.outbox is 'Events, written in the transactions that caused them'",
    """
    create table monohull.jobs (
        position bigint generated always as identity primary key,
        id uuid not null constraint jobs_id_key unique,
        name text not null,
        queue text not null,
        arguments json not null,
        key text,
        event_id uuid,
        actor text,
        request_id text,
        traceparent text,
        created_at timestamptz not null default now(),
        due_at timestamptz not null default now(),
        dispatched_at timestamptz,
        started_at timestamptz,
        worker text,
        message text,
        attempts integer not null default 0,
        error text,
        done_at timestamptz,
        outcome text constraint jobs_outcome_known check (outcome in ('succeeded', 'dead')),
        constraint jobs_outcome_when_done check ((outcome is null) = (done_at is null))
    )
    """,
    """
    create index jobs_undispatched on monohull.jobs (due_at, position)
    where dispatched_at is null and done_at is null
    """,
    """
    create index jobs_dispatched on monohull.jobs (position)
    where dispatched_at is not null and done_at is null
    """,
    """
    create unique index jobs_key on monohull.jobs (name, key)
    where key is not null and done_at is null
    """,
    "create index jobs_event on monohull.jobs (event_id) where event_id is not null",
    "create index jobs_done on monohull.jobs (done_at) where done_at is not null",
    "comment on table monohull.jobs is 'Every job that was promised, until it is done'",
    """
    create table monohull.dead_letters (
        id uuid primary key,
        name text not null,
        queue text not null,
        arguments json not null,
        event_id uuid,
        actor text,
        request_id text,
        attempts integer not null,
        error text not null,
        died_at timestamptz not null default now()
    )
    """,
    "create index dead_letters_event on monohull.dead_letters (event_id) where event_id is not null",
    "create index dead_letters_died on monohull.dead_letters (died_at)",
    "comment on table monohull.dead_letters is 'Jobs that were given up, with their last error'",
)

DOWNGRADE: Final = (
    "drop table monohull.dead_letters",
    "drop table monohull.jobs",
    "drop table monohull.outbox",
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
