"""Make the matrix of a database: read, fill, prove, try, and undo all of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from modules.policy_tests.catalog import read_tables
from modules.policy_tests.derived import Derived, find_rows, read_derived, with_derived
from modules.policy_tests.filling import Filling
from modules.policy_tests.grants import read_grants
from modules.policy_tests.layout import PLATFORM_TEAMS, USERS, Layout, lay_out
from modules.policy_tests.matrix import CallerLine, Entry, Matrix
from modules.policy_tests.ordering import reachable
from modules.policy_tests.people import find_callers, prove
from modules.policy_tests.project import DeclaredTable
from modules.policy_tests.trying import SWITCHES, Trial
from monohull.kernel.database.role import quoted_search_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import asyncpg

    from modules.policy_tests.catalog import Table
    from modules.policy_tests.filling import People
    from modules.policy_tests.grants import Grants
    from modules.policy_tests.people import Caller
    from modules.policy_tests.project import Declaration

LOCK_TIMEOUT: Final = "10s"
STATEMENT_TIMEOUT: Final = "60s"


class Scope(Struct, frozen=True):
    """Which tables are tried, and where unqualified names are looked for meanwhile.

    Attributes:
        schemas: Exposed by the data API.
        search_path: Of its requests.
    """

    schemas: tuple[str, ...]
    search_path: tuple[str, ...]


class Examination:
    """A transaction in which the rows are there; `look` may be called again after a change."""

    def __init__(  # noqa: PLR0913, PLR0917 what `examining` prepared
        self,
        connection: asyncpg.Connection,
        scope: Scope,
        declaration: Declaration,
        layout: Layout,
        callers: Sequence[Caller],
        people: People,
        derived: Sequence[Derived],
    ) -> None:
        self.connection = connection
        self._scope = scope
        self._declaration = declaration
        self._layout = layout
        self._callers = callers
        self._people = people
        self._derived = {one.table.oid: one for one in derived}

    async def look(self) -> Matrix:
        """Read policies and grants as they are now, prove the callers, and try every cell.

        Raises:
            CannotProve: A caller is not bound by row security.
        """
        everything = await read_catalog(self.connection, self._scope)
        derived = await self._read_derived(everything)
        tables = tried(everything, self._scope)
        partitions = [one.table for one in derived if one.table.row_security in SWITCHES]
        await prove(self.connection, self._callers, [*tables, *partitions])
        roles = list(dict.fromkeys(caller.role for caller in self._callers))
        grants = await read_grants(self.connection, roles, [*tables, *(one.table for one in derived)])
        layout = with_derived(self._layout, derived, everything)
        trial = Trial(self.connection, self._people, layout, grants)
        entries = {table.title: await self._entry(trial, Derived(table), grants, layout) for table in tables}
        entries |= {one.table.title: await self._entry(trial, one, grants, layout) for one in derived}
        lines = {
            caller.name: CallerLine(caller.role, dict(caller.claims), caller.bypasses)
            for caller in self._callers
        }
        return Matrix(callers=lines, tables=dict(sorted(entries.items())))

    async def _read_derived(self, tables: Mapping[int, Table]) -> list[Derived]:
        """Read views and partitions as they are now; which rows are in them was found before."""
        async with qualified(self.connection, self._scope):
            found = await read_derived(self.connection, tables, self._scope.schemas)
        known = self._derived
        return [
            replace(one, why_not=known[one.table.oid].why_not) if one.table.oid in known else one
            for one in found
        ]

    async def _entry(self, trial: Trial, one: Derived, grants: Mapping[str, Grants], layout: Layout) -> Entry:
        table = one.table
        declared = self._declaration.tables.get(table.title, DeclaredTable())
        texts = {role: text for role, held in grants.items() if (text := held.of(table).text)}
        left_out = declared.leave_out or one.why_not
        cells = {} if left_out else await trial.table(table, self._callers, declared, one.commands)
        return Entry(
            row_security=table.row_security,
            whose=tuple(layout.carriers(table)),
            left_out=left_out,
            grants=texts,
            policies={policy.name: policy.text for policy in table.policies},
            cells=cells,
        )


async def read_catalog(connection: asyncpg.Connection, scope: Scope) -> dict[int, Table]:
    """Read all tables with qualified names in expressions, and leave the requests' search path behind."""
    async with qualified(connection, scope):
        return await read_tables(connection)


@asynccontextmanager
async def qualified(connection: asyncpg.Connection, scope: Scope) -> AsyncIterator[None]:
    """Have names printed with their schemas in the block, and leave the requests' search path behind."""
    await connection.execute("select set_config('search_path', '', true)")
    yield
    path = quoted_search_path(scope.search_path)
    await connection.execute("select set_config('search_path', $1, true)", path)


def tried(tables: Mapping[int, Table], scope: Scope) -> list[Table]:
    """Return the tables of the exposed schemas, by title."""
    found = [table for table in tables.values() if table.schema in scope.schemas]
    return sorted(found, key=lambda table: table.title)


@asynccontextmanager
async def examining(
    connection: asyncpg.Connection, scope: Scope, declaration: Declaration
) -> AsyncIterator[Examination]:
    """Fill the tables in a transaction that is rolled back when the block ends.

    Raises:
        CannotFill: With a line for every table without rows.
        CannotProve: A caller's role is missing or out of reach.
        BadDeclaration: ``[policies]`` names something that is not there.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(
            "select set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true), "
            "set_config('row_security', 'on', true)",
            LOCK_TIMEOUT,
            STATEMENT_TIMEOUT,
        )
        tables = await read_catalog(connection, scope)
        async with qualified(connection, scope):
            derived = await read_derived(connection, tables, scope.schemas)
        layout = lay_out(tables, declaration, {one.table.title for one in derived})
        callers = await find_callers(connection, declaration)
        derived, people = await _fill(connection, tables, layout, declaration, scope, derived)
        yield Examination(connection, scope, declaration, layout, callers, people, derived)
    finally:
        await transaction.rollback()


async def _fill(  # noqa: PLR0913, PLR0917 what there is to fill, and how
    connection: asyncpg.Connection,
    tables: Mapping[int, Table],
    layout: Layout,
    declaration: Declaration,
    scope: Scope,
    derived: Sequence[Derived],
) -> tuple[list[Derived], People]:
    left_out = {title for title, declared in declaration.tables.items() if declared.leave_out is not None}
    first = [table.oid for table in tried(tables, scope) if table.title not in left_out]
    first += [oid for oid, table in tables.items() if table.title in (USERS, PLATFORM_TEAMS)]
    forced = await _relax(connection, [*tables.values(), *(one.table for one in derived)])
    people = await Filling(connection, tables, layout, declaration).fill(sorted(reachable(tables, first)))
    found = await find_rows(connection, derived, people)
    for table in forced:
        await connection.execute(f"alter table {table.quoted} force row level security")
    return found


async def _relax(connection: asyncpg.Connection, tables: Sequence[Table]) -> list[Table]:
    """Take FORCE off while an owner whom it would hold makes the rows; return the tables."""
    is_exempt = await connection.fetchval(
        "select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user"
    )
    forced = [table for table in tables if table.row_security == "forced" and not is_exempt]
    for table in forced:
        await connection.execute(f"alter table {table.quoted} no force row level security")
    return forced
