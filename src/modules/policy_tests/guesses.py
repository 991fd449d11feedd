"""Values for the columns that need one, tried against the table's checks before a row is made."""

from __future__ import annotations

from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg

from modules.policy_tests.values import candidates
from monohull.kernel.database.server import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from modules.policy_tests.catalog import Check, Column, Table
    from modules.policy_tests.statements import Values

MOST_COMBINATIONS: Final = 300
MOST_TOGETHER: Final = 24
MOST_CANDIDATES: Final = 60
_BIG: Final = (10**6, 2**31 - 1)
_DIGITS: Final = 10
_SMALL: Final = (10**4, 2**15 - 1)


class Guesses:
    """Finds values by asking PostgreSQL what the checks say of candidates."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    def key(self, column: Column, random: Random) -> str:
        """Return a key for a row that is made later."""
        if column.base == "uuid":
            return str(UUID(int=random.getrandbits(128), version=4))
        if column.category == "N":
            if column.size is not None and column.size < _DIGITS:
                return str(random.randint(0, max(10**column.size - 1, 0)))
            return str(random.randint(*(_SMALL if column.base == "int2" else _BIG)))
        return next(iter(candidates(column, (), random)))

    async def guess(self, table: Table, name: str, random: Random, *, other_than: str | None = None) -> str:
        """Return one value for a column that its own checks accept."""
        column = table.columns[name]
        if not _own_checks(table, name) and not column.domain_checks and column.category == "N":
            return self.key(column, random)
        found = [value for value in await self._accepted(table, column, random) if value != other_than]
        return found[0] if found else self.key(column, random)

    async def complete(self, table: Table, fixed: Values, random: Random) -> dict[str, str | None]:
        """Return values for the columns of ``table`` that need one and are not in ``fixed``."""
        found: dict[str, str | None] = {}
        for name, column in table.columns.items():
            if name not in fixed and column.is_needed:
                found[name] = await self._first(table, column, random)
        for check in table.checks:
            if len(check.columns) > 1:
                found |= await self._combine(table, check, {**fixed, **found}, fixed, random)
        return found

    async def _first(self, table: Table, column: Column, random: Random) -> str:
        checks = _own_checks(table, column.name)
        if not checks and not column.is_domain:
            return next(candidates(column, (), random))
        accepted = await self._accepted(table, column, random)
        # without one, the insertion says which check refuses it
        return accepted[0] if accepted else next(candidates(column, (), random))

    async def _accepted(self, table: Table, column: Column, random: Random) -> list[str]:
        """Return the candidates that the column's checks and its type accept, the likeliest first."""
        checks = _own_checks(table, column.name)
        offered = candidates(column, (*checks, *column.domain_checks), random)
        given = list(dict.fromkeys(islice(offered, MOST_CANDIDATES)))
        sql = _question([column], checks)
        try:
            return [row[0] for row in await self._ask(sql, given)]
        except asyncpg.PostgresError:
            # one of them is no value of the type; which, only each alone can tell
            return [value for value in given if await self._is_accepted(sql, value)]

    async def _is_accepted(self, sql: str, value: str) -> bool:
        try:
            return bool(await self._ask(sql, [value]))
        except asyncpg.PostgresError:
            return False

    async def _ask(self, sql: str, *options: Sequence[str | None]) -> list[Any]:
        async with self._connection.transaction():
            found: list[Any] = await self._connection.fetch(sql, *options)
            return found

    async def _combine(
        self, table: Table, check: Check, values: Values, fixed: Values, random: Random
    ) -> dict[str, str | None]:
        """Choose values for the columns of one check together; as few as possible are changed."""
        columns = [table.columns[name] for name in check.columns]
        options = [await self._options(table, column, values, fixed, random) for column in columns]
        combinations = list(islice(product(*options), MOST_COMBINATIONS))
        try:
            rows = await self._ask(_question(columns, [check.expression]), *zip(*combinations, strict=True))
        except asyncpg.PostgresError:
            return {}
        if not rows:
            return {}
        chosen = dict(zip(check.columns, rows[0], strict=True))
        first = dict(zip(check.columns, combinations[0], strict=True))
        return {name: value for name, value in chosen.items() if value != first[name]}

    async def _options(
        self, table: Table, column: Column, values: Values, fixed: Values, random: Random
    ) -> list[str | None]:
        if column.name in fixed:
            return [fixed[column.name]]
        if column.is_generated or column.identity:
            return [None]
        usual: list[str | None]
        if column.name in values:
            usual = [values[column.name]]
        elif column.default is not None:
            sql = f"select ({column.default})::{column.type}::text"
            usual = [await self._connection.fetchval(sql)]
        else:
            usual = [None]
        return [*usual, *(await self._accepted(table, column, random))[:MOST_TOGETHER]]


def _question(columns: Sequence[Column], checks: Iterable[str]) -> str:
    """Return SQL that picks, of lists of texts, those that make the checks true."""
    numbers = range(1, len(columns) + 1)
    lists = ", ".join(f"${number}::text[]" for number in numbers)
    names = ", ".join(f"mh_{number}" for number in numbers)
    typed = ", ".join(
        f"mh_{number}::{column.type} as {quote_name(column.name)}"
        for number, column in zip(numbers, columns, strict=True)
    )
    accepted = " and ".join(f"({check}) is not false" for check in checks) or "true"
    held = " and ".join(
        f"({quote_name(column.name)} is null) = (mh_{number} is null)"
        for number, column in zip(numbers, columns, strict=True)
    )
    return (
        f"select {names} from unnest({lists}) with ordinality as mh_all ({names}, mh_place) "  # noqa: S608
        f"cross join lateral (select {typed}) as mh_typed where {accepted} and {held} order by mh_place"
    )


def _own_checks(table: Table, name: str) -> list[str]:
    return [check.expression for check in table.checks if check.columns == (name,)]
