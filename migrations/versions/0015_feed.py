"""The feed: every relayed event has its number, in the order of commits.

Revision ID: 0015
Revises: 0014

The relay alone numbers, in the transaction that relays, so that numbers become
visible in their order and none is left out. What was relayed before, by a relay
that does not number yet, is numbered here, and what such a relay still does
while processes are replaced is found by having no number.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from monohull.kernel.database.sql_text import split

revision: Final = "0015"
down_revision: Final = "0014"
branch_labels: Final = None
depends_on: Final = None

FEED: Final = """
alter table monohull.outbox add column sequence bigint;
comment on column monohull.outbox.sequence is 'Its place in the feed, once it was relayed';
update monohull.outbox as o set sequence = numbered.nth
from (
    select position, row_number() over (order by relayed_at, transaction_id, position) as nth
    from monohull.outbox where relayed_at is not null
) as numbered
where o.position = numbered.position;
create unique index outbox_sequence on monohull.outbox (sequence) where sequence is not null;
drop index monohull.outbox_unrelayed;
create index outbox_unrelayed on monohull.outbox (position) where sequence is null;
create table monohull.feed_end (
    is_only boolean not null default true constraint pk_feed_end primary key
        constraint ck_feed_end_is_only check (is_only),
    sequence bigint not null
);
alter table monohull.feed_end enable row level security;
revoke all on monohull.feed_end from public;
comment on table monohull.feed_end is 'The number of the last event that was relayed; one row';
insert into monohull.feed_end (sequence) select coalesce(max(sequence), 0) from monohull.outbox;
create table monohull.feed_readers (
    name text not null constraint pk_feed_readers primary key,
    sequence bigint not null constraint ck_feed_readers_sequence check (sequence >= 0),
    moved_at timestamptz not null default now()
);
alter table monohull.feed_readers enable row level security;
revoke all on monohull.feed_readers from public;
comment on table monohull.feed_readers is 'Who reads the feed, and up to which number each has done its work';
"""


def upgrade() -> None:
    for statement in split(FEED):
        op.get_bind().exec_driver_sql(statement.text)


def downgrade() -> None:
    op.execute("drop table monohull.feed_readers")
    op.execute("drop table monohull.feed_end")
    op.execute("drop index monohull.outbox_unrelayed")
    op.execute("update monohull.outbox set relayed_at = null where sequence is null")
    op.execute("alter table monohull.outbox drop column sequence")
    op.execute(
        "create index outbox_unrelayed on monohull.outbox (transaction_id, position) where relayed_at is null"
    )
