"""Rows that are hidden from SELECT and still within reach of a write without a filter.

PostgreSQL asks the SELECT policies only when a statement reads columns. So
``delete from t`` asks the DELETE policies alone, and may reach what nobody saw.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from modules.policy_tests.statements import undone, unforced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from modules.policy_tests.catalog import Table
    from modules.policy_tests.statements import Clause

ONLY: Final = "monohull_policy_tests_only"


def may_reach(table: Table, command: str, granted: frozenset[str] | None) -> bool:
    """Say whether trying is worth while: a right is granted, and some policy could let it pass."""
    if granted == frozenset():
        return False
    return table.row_security == "off" or any(
        policy.is_permissive and policy.command in (command, "all") for policy in table.policies
    )


@asynccontextmanager
async def alone(
    connection: asyncpg.Connection, table: Table, command: str, where: Clause
) -> AsyncIterator[None]:
    """Let ``command`` reach no row but the one that ``where`` finds, until the block ends.

    A restrictive policy does it, so that the statement under test needs no filter and touches
    nobody else's rows.
    """
    async with undone(connection):
        async with unforced(connection, table):
            row = await connection.fetchrow(
                f"select ctid::text as place, tableoid::int8 as part from {table.quoted} where {where.sql}",  # noqa: S608
                *where.arguments,
            )
        if table.row_security == "off":
            await connection.execute(f"alter table {table.quoted} enable row level security")
            await connection.execute(f"create policy {ONLY}_all on {table.quoted} using (true)")
        check = " with check (true)" if command == "update" else ""
        await connection.execute(
            f"create policy {ONLY} on {table.quoted} as restrictive for {command} "
            f"using (ctid = '{row['place']}' and tableoid = {row['part']}){check}"
        )
        yield
