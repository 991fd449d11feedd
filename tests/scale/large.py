"""A database with as many tables as anybody has: 2,000, with 20,000 columns and 3,000 foreign keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncpg

TABLES: Final = 2000
COLUMNS: Final = 10
FOREIGN_KEYS: Final = 3000
SOME: Final = 200
"""Tables made in one transaction: each takes locks, of which the server has not many."""


def create(number: int) -> str:
    """Return the SQL of a table; the last columns refer to others."""
    plain = ", ".join(f"column_{at} text" for at in range(1, COLUMNS - 2))
    return (
        f"create table big_{number} (id int primary key, {plain}, first_id int, second_id int);"
        f"comment on table big_{number} is '@public';"
    )


def refer(number: int) -> str:
    """Return the SQL of a foreign key; 3,000 over 2,000 tables, the first half of which has two."""
    source = number % TABLES
    column, step = ("first_id", 7) if number < TABLES else ("second_id", 13)
    target = (source * step + 1) % TABLES
    return f"alter table big_{source} add foreign key ({column}) references big_{target} (id);"


async def build(database: asyncpg.Connection) -> None:
    """Make it."""
    for first in range(0, TABLES, SOME):
        await database.execute("\n".join(create(number) for number in range(first, first + SOME)))
    for first in range(0, FOREIGN_KEYS, SOME):
        await database.execute("\n".join(refer(number) for number in range(first, first + SOME)))
    await database.execute("analyze")
