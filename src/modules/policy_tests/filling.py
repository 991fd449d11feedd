"""Make the rows that are tried: one of each table for each of three people.

Rows are inserted by the owner, in the order of their foreign keys, with triggers and
constraints in force. Only when a trigger refuses a row it is made without the table's
own triggers. Everything is undone with the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from modules.policy_tests.errors import CannotFill
from modules.policy_tests.expressions import EMAIL, SUB, TEAMS
from modules.policy_tests.guesses import Guesses
from modules.policy_tests.layout import PLATFORM_TEAMS, USERS
from modules.policy_tests.ordering import order_tables
from modules.policy_tests.people import NAMES, TENANTS, USER_IDS, email_of, person_claims
from modules.policy_tests.project import DeclaredTable, as_text
from modules.policy_tests.statements import (
    found_by,
    in_spite_of_triggers,
    insert_row,
    matches,
    told,
    update,
    values_of,
)
from modules.policy_tests.values import seeded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.policy_tests.catalog import ForeignKey, Table
    from modules.policy_tests.layout import Layout
    from modules.policy_tests.ordering import Order
    from modules.policy_tests.project import Declaration
    from modules.policy_tests.statements import Values

ATTEMPTS: Final = 4
OUR_USER: Final = {"aud": "authenticated", "role": "authenticated"}
_MEMBER: Final = """
insert into monohull.role_assignments (role_id, user_id, team_id)
select r.id, $1::text::uuid, $2::text::uuid from monohull.roles r where r.name = 'member'
"""


class Row(Struct, frozen=True):
    """One row that was made.

    Attributes:
        values: All columns as text.
        written: The columns that were given a value; the others have their defaults.
    """

    values: Values
    written: tuple[str, ...]


class People(Struct, frozen=True):
    """All rows, by oid of the table and number of the person; and the claims of the three.

    ``others`` are those of views and partitions; None for a person whose row is not in it.
    """

    rows: Mapping[int, tuple[Row, ...]]
    claims: tuple[dict[str, Any], ...]
    others: Mapping[int, tuple[Row | None, ...]] = {}


class Filling:
    """Makes the rows on one connection, inside the caller's transaction."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        tables: Mapping[int, Table],
        layout: Layout,
        declaration: Declaration,
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._layout = layout
        self._declared = declaration.tables
        self._guesses = Guesses(connection)
        self._tenants: dict[tuple[tuple[str, ...], str], str] = {}
        self._promises: dict[tuple[int, int], dict[str, str | None]] = {}
        self._rows: dict[int, list[Row]] = {}
        self._order: Order

    async def fill(self, needed: Sequence[int]) -> People:
        """Fill ``needed``, which holds every table that one of it refers to.

        Raises:
            CannotFill: With a line for every table that could not be filled.
        """
        self._order = order_tables(self._tables, needed)
        await self._choose_tenants(needed)
        await self._connection.execute("set constraints all deferred")
        faults: dict[int, str] = {}
        for oid in self._order.tables:
            if lost := [key for key in self._tables[oid].foreign_keys if key.target in faults]:
                faults[oid] = f"it refers to {self._tables[lost[0].target].title}"
                continue
            try:
                await self._fill_table(self._tables[oid])
            except asyncpg.PostgresError as error:
                faults[oid] = told(error)
        if faults:
            raise CannotFill(f"{self._tables[oid].title}: {why}" for oid, why in faults.items())
        await self._finish()
        claims = tuple(self._claims(number) for number in range(len(NAMES)))
        return People({oid: tuple(rows) for oid, rows in self._rows.items()}, claims)

    async def _finish(self) -> None:
        """Close the circles, and let every constraint that waited be checked."""
        try:
            for oid, name in sorted(self._order.later):
                await self._set_later(self._tables[oid], name)
            await self._connection.execute("set constraints all immediate")
        except asyncpg.PostgresError as error:
            table = getattr(error, "table_name", None) or "a table"
            raise CannotFill([f"{table}: {told(error)}"]) from error

    async def _choose_tenants(self, needed: Sequence[int]) -> None:
        """Choose what each claim of a tenant holds, by the first column that is compared with it."""
        for oid in needed:
            for name, path in self._layout.claims.get(oid, {}).items():
                if path in (SUB, EMAIL, TEAMS) or (path, "a") in self._tenants:
                    continue
                first = await self._guesses.guess(self._tables[oid], name, seeded("a"))
                second = await self._guesses.guess(self._tables[oid], name, seeded("b"), other_than=first)
                self._tenants |= {(path, "a"): first, (path, "b"): second}

    def _claims(self, number: int) -> dict[str, Any]:
        tenant = TENANTS[number]
        held = {path: value for (path, which), value in self._tenants.items() if which == tenant}
        return person_claims(number, held, self._layout.lists)

    async def _fill_table(self, table: Table) -> None:
        rows = self._rows[table.oid] = []
        for number in range(len(NAMES)):
            if table.oid in self._layout.shared and TENANTS[number] in TENANTS[:number]:
                rows.append(rows[TENANTS.index(TENANTS[number])])
            else:
                rows.append(await self._make(table, number))
            if table.title == PLATFORM_TEAMS:
                await self._join_team(number, rows[-1])

    async def _join_team(self, number: int, team: Row) -> None:
        """The platform keeps members of teams as assignments of a role."""
        if await self._connection.fetchval("select to_regclass('monohull.role_assignments') is not null"):
            await self._connection.execute(_MEMBER, USER_IDS[number], team.values["id"])

    async def _make(self, table: Table, number: int) -> Row:
        """Insert one row; a value that is taken is replaced, or the row that has it is used."""
        claims = msgspec.json.encode(self._claims(number)).decode()
        await self._connection.execute("select set_config('request.jwt.claims', $1, true)", claims)
        for attempt in range(ATTEMPTS):
            fixed = self._fixed(table, number)
            random = seeded(f"{table.title} {number} {attempt}")
            values = fixed | await self._guesses.complete(table, fixed, random)
            try:
                made = await insert_row(self._connection, table, values)
            except asyncpg.UniqueViolationError:
                if (found := await self._find(table, fixed)) is not None:
                    return Row(found, tuple(fixed))
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return Row(made, tuple(values))
        raise AssertionError("the loop returns or raises")  # pragma: no cover

    async def _find(self, table: Table, fixed: Values) -> Values | None:
        """Find the row that a trigger or a person of the same tenant made before."""
        for columns in table.unique:
            if set(columns) <= set(fixed):
                found = await values_of(self._connection, table, matches(table, columns, fixed))
                if found is not None:
                    return found
        return None

    def _fixed(self, table: Table, number: int) -> dict[str, str | None]:
        """Return the values that say whose the row is, and those that the project states."""
        values: dict[str, str | None] = {}
        if table.title == USERS:
            values |= OUR_USER
        for key in table.foreign_keys:
            values |= self._referred(table, key, number)
        for name, path in self._layout.claims.get(table.oid, {}).items():
            if (value := self._held(path, number)) is not None:
                values[name] = value
        declared = self._declared.get(table.title, DeclaredTable())
        for name, value in declared.row.items():
            text = as_text(value)
            values[name] = text.replace("{n}", str(number + 1)) if isinstance(value, str) and text else text
        values |= self._promises.get((table.oid, number), {})
        return {name: value for name, value in values.items() if not table.columns[name].is_generated}

    def _held(self, path: tuple[str, ...], number: int) -> str | None:
        if path == SUB:
            return USER_IDS[number]
        if path == EMAIL:
            return email_of(number)
        if path == TEAMS:
            teams = next((rows for oid, rows in self._rows.items() if self._is_teams(oid)), None)
            # a table that refers to teams says of their own ids whose they are: they come first
            return teams[number].values["id"] if teams is not None and number < len(teams) else None
        return self._tenants[path, TENANTS[number]]

    def _is_teams(self, oid: int) -> bool:
        return self._tables[oid].title == PLATFORM_TEAMS

    def _referred(self, table: Table, key: ForeignKey, number: int) -> dict[str, str | None]:
        """Return what the columns of a reference hold."""
        if (table.oid, key.name) in self._order.later:
            return {}
        if key.target == table.oid:
            if any(table.columns[name].is_nullable for name in key.columns):
                return {}
            promise = self._promise(table, key, number)
            return {name: promise[to] for name, to in zip(key.columns, key.target_columns, strict=True)}
        if (table.oid, key.name) in self._order.promised:
            held: Values = self._promise(self._tables[key.target], key, number)
        elif key.target in self._rows:
            held = self._rows[key.target][number].values
        else:
            return {}
        return {name: held[to] for name, to in zip(key.columns, key.target_columns, strict=True)}

    def _promise(self, target: Table, key: ForeignKey, number: int) -> dict[str, str | None]:
        """Choose the key of a row that is made later."""
        first = TENANTS.index(TENANTS[number]) if target.oid in self._layout.shared else number
        promised = self._promises.setdefault((target.oid, first), {})
        for name in key.target_columns:
            if name not in promised:
                path = self._layout.claims.get(target.oid, {}).get(name)
                held = None if path is None else self._held(path, number)
                random = seeded(f"{target.title} {name} {first}")
                promised[name] = held or self._guesses.key(target.columns[name], random)
        return promised

    async def _set_later(self, table: Table, name: str) -> None:
        key = next(key for key in table.foreign_keys if key.name == name)
        for number in range(len(NAMES)):
            row = self._rows[table.oid][number]
            target = self._rows[key.target][number].values
            new = {own: target[to] for own, to in zip(key.columns, key.target_columns, strict=True)}
            change = update(table, new, found_by(table, row.values))
            await in_spite_of_triggers(self._connection, table, change)
            written = (*row.written, *(own for own in new if own not in row.written))
            self._rows[table.oid][number] = Row({**row.values, **new}, written)
