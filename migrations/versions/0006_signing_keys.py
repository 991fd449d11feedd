"""Keys that sign access tokens.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SIGNING_KEYS = """
create table monohull.signing_keys (
    id uuid not null default gen_random_uuid() constraint pk_signing_keys primary key,
    kid text not null constraint uq_signing_keys_kid unique,
    algorithm text not null
        constraint ck_signing_keys_algorithm check (algorithm in ('ES256', 'RS256', 'EdDSA')),
    state text not null
        constraint ck_signing_keys_state check (state in ('standby', 'current', 'previous', 'retired')),
    public_key jsonb not null,
    private_key text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    current_at timestamptz,
    previous_at timestamptz,
    retired_at timestamptz
)
"""


def upgrade() -> None:
    op.execute(SIGNING_KEYS)
    op.execute(
        "create unique index signing_keys_one_each on monohull.signing_keys (state)"
        " where state in ('standby', 'current')"
    )
    op.execute("alter table monohull.signing_keys enable row level security")
    op.execute("revoke all on monohull.signing_keys from public")
    op.execute(
        "comment on column monohull.signing_keys.private_key is"
        " 'Sealed under a key that follows from the instance''s secret.'"
    )


def downgrade() -> None:
    op.execute("drop table monohull.signing_keys")
