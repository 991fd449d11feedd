"""`Held`: one transaction of the owner's, in which requests are tried as their callers, and undone.

Everything in it runs between a savepoint and the way back to it, so that one question leaves no trace for
the next one, settings and roles included. In the end the whole is rolled back.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.statements import BoundSettings, Rows, Settings, Statement, settings_sql

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from monohull.kernel.database.engine import Database
    from monohull.kernel.database.statements import Isolation

LIMITS: Final = (
    ("statement_timeout", "5s"),
    ("lock_timeout", "1s"),
    ("idle_in_transaction_session_timeout", "30s"),
)
"""An explanation must not hold up those who work."""

_AS_CALLER: Final = frozenset({"role", "transaction_read_only", "statement_timeout"})
"""Settings of the caller's that are not the owner's when it looks at rows for it."""

_CHECKS: Final = "SET CONSTRAINTS ALL IMMEDIATE"
_QUOTED_OR_PARAMETER: Final = re.compile(
    r""""(?:[^"]|"")*"|E'(?:[^'\\]|''|\\\\)*'|'(?:[^']|'')*'|\$(?P<number>\d+)"""
)
_TEXT: Final = 25


class Held:
    """A transaction that is held open and rolled back.

    Args:
        connection: In a transaction.
        settings: Those that the caller's request brings, its role among them.
        effective_role: Returns the role that stands in for another one.
    """

    def __init__(
        self, connection: asyncpg.Connection, settings: Settings, effective_role: Callable[[str], str]
    ) -> None:
        self._connection = connection
        self._settings = [
            (name, effective_role(value) if name == "role" else value) for name, value in settings
        ]

    @property
    def role(self) -> str:
        """The database role that the request runs as."""
        return dict(self._settings)["role"]

    def acting(self, role: str) -> Held:
        """Return the same transaction with another role as the caller's."""
        settings = [(name, role if name == "role" else value) for name, value in self._settings]
        return Held(self._connection, settings, lambda name: name)

    @asynccontextmanager
    async def undone(self, settings: Sequence[tuple[str, str]] = ()) -> AsyncIterator[None]:
        """Undo what the block does; it runs under ``settings``.

        Raises:
            PostgresError: What asyncpg raises in the block, as the data API knows it.
        """
        savepoint = self._connection.transaction()
        await savepoint.start()
        try:
            if settings:
                names, values = zip(*settings, strict=True)
                await self._connection.fetch(settings_sql(names), *values)
            yield
        except asyncpg.PostgresError as error:
            raise translated(error) from error
        finally:
            if not self._connection.is_closed():
                await savepoint.rollback()

    def as_caller(self) -> AbstractAsyncContextManager[None]:
        """Undo what the block does as the caller."""
        return self.undone(self._settings)

    def as_owner(self) -> AbstractAsyncContextManager[None]:
        """Undo what the block does as the owner, with the caller's claims and past policies.

        Where policies bind the owner as well, its statements fail (42501) and do not lie.
        """
        own = [(name, value) for name, value in self._settings if name not in _AS_CALLER]
        return self.undone([*own, ("row_security", "off")])

    async def rows(self, sql: str, args: Sequence[str | bytes | None] = ()) -> list[Any]:
        """Return the rows of a statement whose arguments are texts, as in a data request.

        Raises:
            asyncpg.PostgresError: `undone` translates it.
        """
        texts = [arg.decode() if isinstance(arg, bytes) else arg for arg in args]
        prepared = await self._connection.prepare(sql)
        oids = [parameter.oid for parameter in prepared.get_parameters()]
        if any(oid != _TEXT for oid in oids):
            names = await self._connection.fetch(
                "SELECT pg_catalog.format_type(o.oid, NULL) AS name"
                " FROM unnest($1::oid[]) WITH ORDINALITY AS o(oid, n) ORDER BY n",
                oids,
            )
            prepared = await self._connection.prepare(take_texts(sql, [row["name"] for row in names]))
        return list(await prepared.fetch(*texts))

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """Return the rows of a statement of our own."""
        return list(await self._connection.fetch(sql, *args))

    async def execute(self, sql: str) -> None:
        """Run a statement of our own that gives no rows."""
        await self._connection.execute(sql)

    async def run_batch(
        self,
        statements: Sequence[Statement],
        *,
        settings: Settings = (),
        commit: bool = True,
        isolation: Isolation | None = None,
        streams: bool = False,
    ) -> list[Rows]:
        """Do what the pool of data requests does, and undo it. What COMMIT would check is checked."""
        del isolation, streams, settings  # of the transaction; there is one already, and they are its own
        results: list[Rows] = []
        async with self.as_caller():
            for statement in statements:
                found = await self.rows(statement.sql, statement.args)
                columns = tuple(found[0].keys()) if found else ()
                results.append(Rows(columns, [tuple(map(_encoded, row.values())) for row in found], ""))
            if commit:
                await self.execute(_CHECKS)
        return results

    async def run_known(self, statement: Statement, settings: BoundSettings) -> Rows:
        """Do the same for one statement."""
        [rows] = await self.run_batch((statement,), settings=settings)
        return rows


@asynccontextmanager
async def hold(
    database: Database,
    settings: Settings,
    effective_role: Callable[[str], str],
    isolation: Isolation | None = None,
) -> AsyncIterator[Held]:
    """Hold a transaction open while the block runs, and roll it back.

    Raises:
        DatabaseUnavailable: 503.
    """
    async with database.connection() as connection:
        level = isolation.replace(" ", "_") if isolation is not None else None
        transaction = connection.transaction(isolation=level)
        await transaction.start()
        try:
            names, values = zip(*LIMITS, strict=True)
            await connection.fetch(settings_sql(names), *values)
            yield Held(connection, settings, effective_role)
        finally:
            if not connection.is_closed():
                await transaction.rollback()


def take_texts(sql: str, types: Sequence[str]) -> str:
    """Have parameters be texts that become what they have to be, as they do when text is sent for them.

    >>> take_texts("SELECT '$1' WHERE a = $1", ["integer[]"])
    "SELECT '$1' WHERE a = ($1::text::integer[])"
    """

    def replaced(found: re.Match[str]) -> str:
        number = found["number"]
        return found.group() if number is None else f"(${number}::text::{types[int(number) - 1]})"

    return _QUOTED_OR_PARAMETER.sub(replaced, sql)


def translated(error: asyncpg.PostgresError) -> PostgresError:
    """Return what asyncpg raised as the wire of data requests would have raised it."""
    fields = {
        "C": error.sqlstate or "XX000",
        "M": error.args[0] if error.args else "",
        "D": getattr(error, "detail", None),
        "H": getattr(error, "hint", None),
        "V": getattr(error, "severity_en", None) or "ERROR",
        "s": getattr(error, "schema_name", None),
        "t": getattr(error, "table_name", None),
        "c": getattr(error, "column_name", None),
        "n": getattr(error, "constraint_name", None),
        "W": getattr(error, "context", None),
        "R": getattr(error, "server_source_function", None),
    }
    return PostgresError({name: value for name, value in fields.items() if value is not None})


def _encoded(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()
