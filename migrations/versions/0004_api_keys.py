"""API keys.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

API_KEYS = """
create table monohull.api_keys (
    id uuid not null default gen_random_uuid() constraint pk_api_keys primary key,
    name text not null constraint ck_api_keys_name check (name <> ''),
    kind text not null constraint ck_api_keys_kind check (kind in ('publishable', 'secret')),
    prefix text not null,
    checksum text not null,
    hash text not null constraint uq_api_keys_hash unique,
    role text not null,
    permissions text[] not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    created_by text,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
)
"""


def upgrade() -> None:
    op.execute(API_KEYS)
    op.execute("create index ix_api_keys_created_at on monohull.api_keys (created_at)")
    op.execute("alter table monohull.api_keys enable row level security")
    op.execute("revoke all on monohull.api_keys from public")
    op.execute("comment on column monohull.api_keys.hash is 'SHA-256 of the key; the key itself is nowhere.'")


def downgrade() -> None:
    op.execute("drop table monohull.api_keys")
