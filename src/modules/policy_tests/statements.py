"""The few statements that filling and trying share; every value is a text that PostgreSQL casts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from msgspec import Struct

from monohull.kernel.database.server import quote_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from modules.policy_tests.catalog import Table

Values: TypeAlias = Mapping[str, str | None]


@asynccontextmanager
async def undone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Undo what the block does, role and claims among it.

    asyncpg's own nested transactions leave their savepoint behind when they are rolled back, and
    thousands of them would stand inside each other.
    """
    await connection.execute("savepoint policy_tests")
    try:
        yield
    finally:
        await connection.execute("rollback to savepoint policy_tests; release savepoint policy_tests")


@asynccontextmanager
async def unforced(connection: asyncpg.Connection, table: Table) -> AsyncIterator[None]:
    """Take FORCE ROW LEVEL SECURITY off for the block, so that the owner reaches the rows it made."""
    if table.row_security == "forced":
        await connection.execute(f"alter table {table.quoted} no force row level security")
    yield
    if table.row_security == "forced":
        await connection.execute(f"alter table {table.quoted} force row level security")


class Clause(Struct, frozen=True):
    """A piece of SQL and its arguments, numbered from 1."""

    sql: str
    arguments: tuple[str | None, ...]


def matches(table: Table, columns: Iterable[str], values: Values) -> Clause:
    """Return the condition that ``columns`` hold ``values``.

    Equality of key columns goes by index; a null, or a type that knows no equality, by its text.
    """
    parts: list[str] = []
    arguments: list[str | None] = []
    for name in columns:
        arguments.append(values[name])
        place = f"${len(arguments)}::text"
        if name in table.key:
            parts.append(f"{quote_name(name)} = {place}::{table.columns[name].type}")
        else:
            parts.append(f"{quote_name(name)}::text is not distinct from {place}")
    return Clause(" and ".join(parts), tuple(arguments))


def found_by(table: Table, values: Values) -> Clause:
    """Return the condition that finds one row: its key, or all it holds where there is no key."""
    return matches(table, table.key or tuple(table.columns), values)


def insertion(table: Table, values: Values) -> Clause:
    """Return the INSERT of ``values``, with the defaults for all other columns."""
    if not values:
        return Clause(f"insert into {table.quoted} default values", ())
    names = ", ".join(quote_name(name) for name in values)
    places = ", ".join(
        f"${number}::text::{table.columns[name].type}" for number, name in enumerate(values, start=1)
    )
    overriding = (
        " overriding system value" if any(table.columns[name].identity == "a" for name in values) else ""
    )
    sql = f"insert into {table.quoted} ({names}){overriding} values ({places})"  # noqa: S608 quoted names
    return Clause(sql, tuple(values.values()))


async def insert_row(connection: asyncpg.Connection, table: Table, values: Values) -> dict[str, str | None]:
    """Insert ``values`` and return the row as text.

    Raises:
        asyncpg.PostgresError: A constraint refuses it.
    """
    insert = insertion(table, values)
    made = await in_spite_of_triggers(
        connection, table, Clause(f"{insert.sql} returning {texts(table)}", insert.arguments)
    )
    return dict(made)


async def in_spite_of_triggers(connection: asyncpg.Connection, table: Table, statement: Clause) -> Any:
    """Run ``statement``; when a trigger raises, once more without the table's own. Return the first row.

    Raises:
        asyncpg.PostgresError: Something that no trigger stands behind refuses it.
    """
    try:
        async with connection.transaction():
            return await connection.fetchrow(statement.sql, *statement.arguments)
    except asyncpg.RaiseError:
        pass
    async with connection.transaction():
        await connection.execute(f"alter table {table.quoted} disable trigger user")
        found = await connection.fetchrow(statement.sql, *statement.arguments)
        await connection.execute(f"alter table {table.quoted} enable trigger user")
        return found


def texts(table: Table) -> str:
    """Return the select list of all columns as text."""
    return ", ".join(f"{quote_name(name)}::text" for name in table.columns)


async def values_of(
    connection: asyncpg.Connection, table: Table, where: Clause
) -> dict[str, str | None] | None:
    """Return one row as text, or None."""
    sql = f"select {texts(table)} from {table.quoted} where {where.sql} limit 1"  # noqa: S608 quoted names
    row: Any = await connection.fetchrow(sql, *where.arguments)
    return None if row is None else dict(row)


def assignments(table: Table, values: Values, first: int = 1) -> Clause:
    """Return the SET list of ``values``, its arguments numbered from ``first``."""
    parts = [
        f"{quote_name(name)} = ${number}::text::{table.columns[name].type}"
        for number, name in enumerate(values, start=first)
    ]
    return Clause(", ".join(parts), tuple(values.values()))


def update(table: Table, values: Values, where: Clause) -> Clause:
    """Return the UPDATE of the row that ``where`` finds."""
    to = assignments(table, values, first=len(where.arguments) + 1)
    sql = f"update {table.quoted} set {to.sql} where {where.sql}"  # noqa: S608 quoted names
    return Clause(sql, (*where.arguments, *to.arguments))


def deletion(table: Table, where: Clause) -> Clause:
    """Return the DELETE of the row that ``where`` finds."""
    return Clause(f"delete from {table.quoted} where {where.sql}", where.arguments)  # noqa: S608 quoted names


def selection(table: Table, where: Clause) -> Clause:
    """Return the SELECT that finds the row that ``where`` finds, and reads no column beside its own."""
    return Clause(f"select 1 from {table.quoted} where {where.sql} limit 2", where.arguments)  # noqa: S608


def told(error: asyncpg.PostgresError) -> str:
    """Return SQLSTATE and message, without the detail, which holds the row."""
    return f"{error.sqlstate} {error.args[0]}"


def in_order(names: Iterable[str], table: Table) -> Sequence[str]:
    """Sort column names as the table has them."""
    wanted = set(names)
    return [name for name in table.columns if name in wanted]
