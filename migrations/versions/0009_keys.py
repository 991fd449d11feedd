"""What limits an API key beside its permissions, and its text before the last rotation.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LIMITS = """
alter table monohull.api_keys
    add column user_id uuid,
    add column allowed_addresses text[] not null default '{}',
    add column rate_per_minute integer
        constraint ck_api_keys_rate_per_minute check (rate_per_minute > 0),
    add column quota bigint constraint ck_api_keys_quota check (quota > 0),
    add column quota_period text
        constraint ck_api_keys_quota_period check (quota_period in ('day', 'month')),
    add column previous_hash text constraint uq_api_keys_previous_hash unique,
    add column previous_prefix text,
    add column previous_ends_at timestamptz,
    add column rotated_at timestamptz,
    add constraint ck_api_keys_quota_whole check ((quota is null) = (quota_period is null)),
    add constraint ck_api_keys_previous_whole check (
        (previous_hash is null) = (previous_ends_at is null)
        and (previous_hash is null) = (previous_prefix is null))
"""
COLUMNS = (
    "user_id",
    "allowed_addresses",
    "rate_per_minute",
    "quota",
    "quota_period",
    "previous_hash",
    "previous_prefix",
    "previous_ends_at",
    "rotated_at",
)


def upgrade() -> None:
    op.execute(LIMITS)
    op.execute("create index ix_api_keys_user_id on monohull.api_keys (user_id) where user_id is not null")
    op.execute(
        "comment on column monohull.api_keys.user_id is "
        "'Whom data requests run as. No foreign key: a key outlives its user, and is refused.'"
    )


def downgrade() -> None:
    op.execute("drop index monohull.ix_api_keys_user_id")
    for column in COLUMNS:
        op.execute(f"alter table monohull.api_keys drop column {column}")
