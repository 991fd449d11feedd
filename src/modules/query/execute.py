"""`execute_read`: statement and values → `ResultSet`. The only await between a request and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query.compiler import Compiled
    from modules.query.sql import Statement
    from monohull.kernel.database.statements import Rows


class DataSource(Protocol):
    """Runs a statement in a transaction of its own; `monohull.kernel.database.data.DataPool` does."""

    async def run(
        self,
        sql: str,
        args: Sequence[str | bytes | None],
        *,
        settings: Sequence[tuple[str, str]],
        key: str,
    ) -> Rows:
        """Return the rows, in text format.

        Raises:
            PostgresError: The server refused.
            Unavailable: No server, or no connection in time.
        """
        ...


class Transaction(Struct, frozen=True):
    """How the caller's transaction begins.

    Attributes:
        settings: Names and values, applied in order, gone with the transaction.
        plan_key: What a prepared plan belongs to beside its text: the role, and the search path,
            which computed fields are found by.
    """

    settings: Sequence[tuple[str, str]]
    plan_key: str


class ResultSet(Struct, frozen=True):
    """What the database answered.

    Attributes:
        body: The document, as it goes out.
        rows: How many rows are in it.
        total: How many there are without limit and offset, None when nobody asked.
    """

    body: bytes
    rows: int
    total: int | None = None


async def execute_read(
    source: DataSource,
    compiled: Compiled,
    values: Sequence[str],
    transaction: Transaction,
    *,
    max_exact: int | None = None,
) -> ResultSet:
    """Run ``compiled`` with ``values``.

    Args:
        source: Where to.
        compiled: The statement.
        values: By slot.
        transaction: Role, claims and the rest.
        max_exact: An estimated count is exact up to here.

    Raises:
        PostgresError: The server refused.
        Unavailable: No server, or no connection in time.
    """
    result = await _run(source, compiled.statement, values, transaction)
    total, rows, body = result.rows[0]
    counted = None if total is None else int(total)
    if compiled.count_plan is not None and (counted is None or max_exact is None or counted > max_exact):
        # an estimate below what was counted already is known to be wrong
        counted = max(counted or 0, await _estimate(source, compiled.count_plan, values, transaction))
    return ResultSet(body or b"", int(rows or 0), counted)


async def _run(
    source: DataSource, statement: Statement, values: Sequence[str], transaction: Transaction
) -> Rows:
    return await source.run(
        statement.text,
        statement.choose(values),
        settings=transaction.settings,
        key=f"{statement.name}.{transaction.plan_key}",
    )


async def _estimate(
    source: DataSource, statement: Statement, values: Sequence[str], transaction: Transaction
) -> int:
    """Ask the planner how many rows it expects. Its text depends on the values, so nothing is prepared."""
    result = await source.run(statement.text, statement.choose(values), settings=transaction.settings, key="")
    explained = msgspec.json.decode(b"".join(row[0] or b"" for row in result.rows))
    return int(explained[0]["Plan"]["Plan Rows"])
