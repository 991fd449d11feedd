"""The months of the log: which there are, making the next ones, letting old ones go."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

AHEAD_MONTHS: Final = 2
"""So many months beyond the current one have their partition before they begin."""

_PARTITIONS: Final = """
    select substring(child.relname from '^audit_entries_([0-9]{4}_[0-9]{2})$') as month
    from pg_inherits join pg_class as child on child.oid = inhrelid
    where inhparent = 'monohull.audit_entries'::regclass
    order by 1
"""


def table_of(month: str) -> str:
    """Return the table of a month such as ``2026_11``, for SQL text.

    Raises:
        ValueError: It is no month.
    """
    return f"monohull.audit_entries_{first_day(month):%Y_%m}"


def first_day(month: str) -> date:
    """Return the day that a month such as ``2026_11`` begins with.

    Raises:
        ValueError: It is no month.
    """
    return datetime.strptime(month, "%Y_%m").replace(tzinfo=UTC).date()


def later(day: date, months: int) -> date:
    """Return the first day of the month so many months later; earlier, where it is negative.

    >>> later(date(2026, 11, 30), 2), later(date(2026, 1, 1), -1)
    (datetime.date(2027, 1, 1), datetime.date(2025, 12, 1))
    """
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


async def list_months(connection: asyncpg.Connection) -> Sequence[str]:
    """Return every month that has a partition, the oldest first."""
    return [row["month"] for row in await connection.fetch(_PARTITIONS) if row["month"] is not None]


async def add_month(connection: asyncpg.Connection, day: date) -> None:
    """Make the partition of a day's month, unless it is there."""
    await connection.execute("select monohull.add_audit_partition($1)", day)


async def add_ahead(connection: asyncpg.Connection, today: date) -> Sequence[str]:
    """Make the partitions of this month and the next ones; return those that were missing."""
    known = await list_months(connection)
    wanted = [later(today, months) for months in range(AHEAD_MONTHS + 1)]
    missing = [day for day in wanted if f"{day:%Y_%m}" not in known]
    for day in missing:
        await add_month(connection, day)
    return [f"{day:%Y_%m}" for day in missing]


async def drop_month(connection: asyncpg.Connection, month: str) -> None:
    """Take a partition out of the log, and its table away."""
    table = table_of(month)
    await connection.execute(f"alter table monohull.audit_entries detach partition {table}")
    await connection.execute(f"drop table {table}")
