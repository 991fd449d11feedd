"""Try every cell: as the caller's role, with the caller's claims, on a row that is there.

What PostgreSQL answers is the cell. An INSERT of a row that exists already ends in a unique
violation only after row security let it pass, so a constraint's refusal means *allowed*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg
from msgspec import Struct

from modules.policy_tests.blindness import alone, may_reach
from modules.policy_tests.errors import CannotFill
from modules.policy_tests.matrix import ALLOW, BLIND, COMMANDS, HIDDEN, NO_GRANT, REFUSED
from modules.policy_tests.people import COLLEAGUE, NAMES, OWN, STRANGER
from modules.policy_tests.statements import (
    Clause,
    deletion,
    found_by,
    in_order,
    in_spite_of_triggers,
    insertion,
    matches,
    selection,
    told,
    undone,
    unforced,
    update,
)
from modules.policy_tests.variants import variants

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from modules.policy_tests.catalog import Table
    from modules.policy_tests.filling import People, Row
    from modules.policy_tests.grants import Grants
    from modules.policy_tests.layout import Layout
    from modules.policy_tests.people import Caller
    from modules.policy_tests.project import DeclaredTable
    from modules.policy_tests.statements import Values

ROW_SECURITY_CHECK: Final = "ExecWithCheckOptions"
"""The routine of PostgreSQL that refuses a row by policy; its words depend on the language."""

FORBIDDEN: Final = "42501"
CONSTRAINTS: Final = "23"


SWITCHES: Final = ("off", "on", "forced")
"""Row security of tables; a view has none, and no place where its rows are stored."""

_FORMS: Final = {"give": "update", "take": "update"}


class State(Struct, frozen=True):
    """A row in one state.

    Attributes:
        label: In the matrix.
        number: Whose it is.
        changes: What is changed in it before it is tried.
        name: Of the state; empty for the row as it was made.
    """

    label: str
    number: int
    changes: Values = {}
    name: str = ""


class Trial:
    """Tries cells on one connection, inside the transaction that made the rows."""

    def __init__(
        self, connection: asyncpg.Connection, people: People, layout: Layout, grants: Mapping[str, Grants]
    ) -> None:
        self._connection = connection
        self._people = people
        self._layout = layout
        self._grants = grants

    async def table(
        self,
        table: Table,
        callers: Sequence[Caller],
        declared: DeclaredTable,
        commands: Collection[str] = COMMANDS,
    ) -> dict[str, dict[str, dict[str, str]]]:
        """Return the cells of ``table``: caller → row → command → outcome.

        Args:
            table: A table, a view or a partition.
            callers: Who tries.
            declared: What the project states about it.
            commands: What can be done to it at all.
        """
        found: dict[str, dict[str, dict[str, str]]] = {caller.name: {} for caller in callers}
        for state in self._states(table, declared):
            async with undone(self._connection):
                if not await self._bring_about(table, state, is_demanded=state.name in declared.variants):
                    continue
                for caller in callers:
                    found[caller.name][state.label] = await self._row(table, caller, state, commands)
        return found

    def _rows(self, table: Table) -> Sequence[Row | None]:
        return self._people.rows.get(table.oid) or self._people.others[table.oid]

    def _states(self, table: Table, declared: DeclaredTable) -> Iterator[State]:
        rows = self._rows(table)
        for number, name in enumerate(NAMES):
            if rows[number] is None or (number == COLLEAGUE and rows[number] is rows[OWN]):
                continue  # the row of the tenant itself, which both share
            yield State(name, number)
        carriers = self._layout.carriers(table)
        for number in (OWN, STRANGER):
            if (row := rows[number]) is None:
                continue
            states = variants(table, row.values, carriers, declared)
            for name, changes in states.items():
                yield State(f"{NAMES[number]}, {name}", number, changes, name)

    async def _bring_about(self, table: Table, state: State, *, is_demanded: bool) -> bool:
        """Change the row; false when no row can be in this state.

        Raises:
            CannotFill: The project stated the state, and no row can be in it.
        """
        if not state.changes:
            return True
        row = self._row_of(table, state.number)
        change = update(table, state.changes, found_by(table, row.values))
        try:
            async with unforced(self._connection, table):
                await in_spite_of_triggers(self._connection, table, change)
        except asyncpg.PostgresError as error:
            if is_demanded:
                raise CannotFill([f"{table.title}, variant {state.name}: {told(error)}"]) from error
            return False
        return True

    def _row_of(self, table: Table, number: int) -> Row:
        row = self._rows(table)[number]
        assert row is not None, "a state is of a row that is there"
        return row

    async def _row(
        self, table: Table, caller: Caller, state: State, commands: Collection[str]
    ) -> dict[str, str]:
        row = self._row_of(table, state.number)
        values = {**row.values, **state.changes}
        written = {name: values[name] for name in {*row.written, *state.changes}}
        statements = {
            "insert": insertion(table, self._inserted(table, caller, state, written)),
            **self._on_the_row(table, caller, state, values),
        }
        async with undone(self._connection):
            await self._become(caller)
            cells: dict[str, str] = {
                command: await self._cell(statements[command], counts=command != "insert")
                for command in COMMANDS
                if command in statements and _FORMS.get(command, command) in commands
            }
        if cells["select"] != ALLOW and table.row_security in SWITCHES:
            await self._try_blindly(table, caller, values, cells)
        return cells

    def _on_the_row(self, table: Table, caller: Caller, state: State, values: Values) -> dict[str, Clause]:
        """Return the statements that find the row first."""
        where = self._where(table, caller, values)
        found = {
            "select": selection(table, where),
            "update": update(table, self._touched(table, self._grants[caller.role], values), where),
            "delete": deletion(table, where),
        }
        mine = self._rows(table)[OWN]
        if mine is None:
            return found
        own = mine.values
        theirs = {name: values[name] for name in self._layout.carriers(table) if values[name] != own[name]}
        if theirs and state.number != OWN and not state.changes:
            ours = {name: own[name] for name in theirs}
            found["give"] = update(table, theirs, self._where(table, caller, own))
            found["take"] = update(table, ours, where)
        return found

    def _inserted(self, table: Table, caller: Caller, state: State, written: Values) -> Values:
        """Leave out columns the caller may not write, except where the row would become another's."""
        grants = self._grants[caller.role].of(table)
        names = in_order(written, table)
        if grants.insert is not None:
            carriers = self._layout.carriers(table)
            names = [
                name
                for name in names
                if name in grants.insert or (name in carriers and state.number != OWN)
                or table.columns[name].is_needed or name in state.changes
            ]  # fmt: skip
        return {name: written[name] for name in names}

    def _touched(self, table: Table, grants: Grants, values: Values) -> Values:
        """Choose a column to write what it holds already."""
        allowed = grants.of(table).update
        keyed = set(table.key) | set(self._layout.carriers(table))
        possible = [
            name
            for name, column in table.columns.items()
            if not column.is_generated and column.identity != "a" and (not allowed or name in allowed)
        ] or list(table.columns)
        name = next((name for name in possible if name not in keyed), possible[0])
        return {name: values[name]}

    def _where(self, table: Table, caller: Caller, values: Values) -> Clause:
        """Find the row by its key, or by all that the caller may read where that does not hold the key."""
        readable = self._grants[caller.role].of(table).select
        if readable is None or not readable or set(table.key or table.columns) <= readable:
            return found_by(table, values)
        return matches(table, in_order(readable, table), values)

    async def _cell(self, statement: Clause, *, counts: bool) -> str:
        try:
            async with undone(self._connection):
                if statement.sql.startswith("select"):
                    found = len(await self._connection.fetch(statement.sql, *statement.arguments))
                else:
                    status = await self._connection.execute(statement.sql, *statement.arguments)
                    found = int(status.rpartition(" ")[2])
        except asyncpg.PostgresError as error:
            return outcome(error)
        return ALLOW if found or not counts else HIDDEN

    async def _become(self, caller: Caller) -> None:
        claims = caller.claims_json(self._people.claims[OWN])
        await self._connection.execute(
            "select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)",
            claims,
            caller.role,
        )

    async def _try_blindly(self, table: Table, caller: Caller, values: Values, cells: dict[str, str]) -> None:
        """A row that cannot be seen may still be within reach of an UPDATE or DELETE without a filter."""
        grants = self._grants[caller.role]
        everything = Clause("true", ())
        tries = {
            "update": update(table, self._touched(table, grants, values), everything),
            "delete": deletion(table, everything),
        }
        for command, statement in tries.items():
            if may_reach(table, command, getattr(grants.of(table), command)) and cells[command] != ALLOW:
                async with alone(self._connection, table, command, found_by(table, values)):
                    await self._become(caller)
                    if await self._cell(statement, counts=True) == ALLOW:
                        cells[command] = BLIND


def outcome(error: asyncpg.PostgresError) -> str:
    """Say what an error of PostgreSQL means for a cell."""
    state = error.sqlstate or ""
    if state == FORBIDDEN:
        routine = getattr(error, "server_source_function", None)
        return REFUSED if routine == ROW_SECURITY_CHECK else NO_GRANT
    return ALLOW if state.startswith(CONSTRAINTS) else f"raises {state}"
