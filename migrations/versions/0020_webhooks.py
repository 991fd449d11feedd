"""Webhooks: endpoints, their secrets, what is delivered to them, and every attempt.

Revision ID: 0020
Revises: 0019

A delivery's row is the truth about it, and its lease: while an attempt runs, ``due_at`` says when it
counts as lost and the delivery may be taken again. The events are kept once for all endpoints and
outlive the outbox. ``webhook_fanout`` has one row; whoever changes what an endpoint matches locks it, and
so does each batch of events, so that every event is judged by one definition and it is known which.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0020"
down_revision: Final = "0019"
branch_labels: Final = None
depends_on: Final = None

TABLES = """
create table monohull.webhook_fanout (
    is_only boolean not null default true constraint pk_webhook_fanout primary key
        constraint ck_webhook_fanout_is_only check (is_only),
    sequence bigint not null default 0
);
insert into monohull.webhook_fanout default values;

create table monohull.webhook_endpoints (
    id uuid not null constraint pk_webhook_endpoints primary key,
    name text not null constraint ck_webhook_endpoints_name check (name <> ''),
    url text not null,
    events text[] not null default '{}',
    filters jsonb not null default '[]',
    rows jsonb not null default '[]',
    payload text not null default 'envelope'
        constraint ck_webhook_endpoints_payload check (payload in ('envelope', 'database')),
    header_names text[] not null default '{}',
    headers text,
    is_ordered boolean not null default false,
    timeout_seconds integer not null,
    max_attempts integer,
    retry_base_seconds double precision not null,
    retry_max_seconds double precision not null,
    retry_window_seconds double precision not null,
    concurrency integer not null,
    rate_per_second integer,
    breaker_failures integer not null,
    breaker_seconds double precision not null,
    is_enabled boolean not null default true,
    disabled_at timestamptz,
    disabled_reason text,
    owner_id uuid constraint fk_webhook_endpoints_owner_id references auth.users (id) on delete set null,
    active_from bigint not null default 0,
    active_until bigint,
    consecutive_failures integer not null default 0,
    failing_since timestamptz,
    opened_until timestamptz,
    tokens double precision not null default 0,
    tokens_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ck_webhook_endpoints_disabled check (is_enabled = (disabled_at is null))
);
create index ix_webhook_endpoints_owner_id on monohull.webhook_endpoints (owner_id);

create table monohull.webhook_secrets (
    id uuid not null constraint pk_webhook_secrets primary key,
    endpoint_id uuid not null
        constraint fk_webhook_secrets_endpoint_id references monohull.webhook_endpoints (id)
        on delete cascade,
    secret text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz
);
create index ix_webhook_secrets_endpoint_id on monohull.webhook_secrets (endpoint_id);

create table monohull.webhook_events (
    id uuid not null constraint pk_webhook_events primary key,
    sequence bigint,
    name text not null,
    version smallint not null,
    key text,
    occurred_at timestamptz not null,
    request_id text,
    traceparent text,
    payload json not null
);
create index ix_webhook_events_occurred_at on monohull.webhook_events (occurred_at);

create table monohull.webhook_deliveries (
    id uuid not null constraint pk_webhook_deliveries primary key,
    position bigint generated always as identity constraint uq_webhook_deliveries_position unique,
    endpoint_id uuid not null
        constraint fk_webhook_deliveries_endpoint_id references monohull.webhook_endpoints (id)
        on delete cascade,
    event_id uuid not null
        constraint fk_webhook_deliveries_event_id references monohull.webhook_events (id),
    kind text not null default 'event'
        constraint ck_webhook_deliveries_kind check (kind in ('event', 'replay', 'test')),
    replay_of uuid,
    order_key text,
    state text not null default 'pending'
        constraint ck_webhook_deliveries_state check (state in ('pending', 'sending', 'delivered', 'dead')),
    attempts integer not null default 0,
    due_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    status smallint,
    reason text,
    constraint ck_webhook_deliveries_finished
        check ((state in ('delivered', 'dead')) = (finished_at is not null))
);
create unique index ux_webhook_deliveries_event on monohull.webhook_deliveries (endpoint_id, event_id)
    where kind = 'event';
create index ix_webhook_deliveries_due on monohull.webhook_deliveries (endpoint_id, due_at, position)
    where state in ('pending', 'sending');
create index ix_webhook_deliveries_order on monohull.webhook_deliveries (endpoint_id, order_key, position)
    where state in ('pending', 'sending') and order_key is not null;
create index ix_webhook_deliveries_endpoint_id on monohull.webhook_deliveries (endpoint_id, position);
create index ix_webhook_deliveries_event_id on monohull.webhook_deliveries (event_id);
create index ix_webhook_deliveries_finished_at on monohull.webhook_deliveries (finished_at)
    where finished_at is not null;

create table monohull.webhook_attempts (
    delivery_id uuid not null
        constraint fk_webhook_attempts_delivery_id references monohull.webhook_deliveries (id)
        on delete cascade,
    number integer not null,
    outcome text not null
        constraint ck_webhook_attempts_outcome check (outcome in ('delivered', 'failed', 'lost')),
    reason text,
    message text,
    started_at timestamptz not null,
    duration_seconds double precision,
    url text,
    request_headers json,
    request_body text,
    request_bytes integer,
    status smallint,
    response_headers json,
    response_body text,
    constraint pk_webhook_attempts primary key (delivery_id, number)
);
"""

DESCRIBED = {
    "webhook_fanout": "The number in the feed up to which events were handed to endpoints.",
    "webhook_endpoints": "Who is told of events by HTTP, of which, and how.",
    "webhook_secrets": "What requests to endpoints are signed with, sealed.",
    "webhook_events": "Events as endpoints get them, once for all deliveries.",
    "webhook_deliveries": "That an endpoint is told of an event: waiting, on its way, delivered or given up.",
    "webhook_attempts": "The log of requests to endpoints and what they answered.",
}


def upgrade() -> None:
    for statement in split(TABLES):
        op.get_bind().exec_driver_sql(statement.text)
    for name, description in DESCRIBED.items():
        op.execute(f"alter table monohull.{name} enable row level security")
        op.execute(f"revoke all on monohull.{name} from public")
        op.execute(f"comment on table monohull.{name} is $text${description}$text$")


def downgrade() -> None:
    for name in reversed(DESCRIBED):
        op.execute(f"drop table monohull.{name}")
