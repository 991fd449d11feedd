"""`execute_request`: statement and values → `ResultSet`. The only await between a request and its answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import Struct

from modules.query.errors import KeyMismatch, NotOneRow, TooManyAffected
from modules.query.sql import GUARD
from monohull.kernel.database.frames import PostgresError, Row
from monohull.kernel.database.statements import BoundSettings, Isolation, Rows, Settings, Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query.compiler import Compiled
    from monohull.kernel.database.stream import ValueStream
    from monohull.kernel.errors import Problem

CHECKS: Final = (Statement("SET CONSTRAINTS ALL IMMEDIATE", key="constraints"),)
"""What COMMIT would find, where the end is ROLLBACK."""

_FOR_THESE: Final = Statement("SET LOCAL plan_cache_mode = auto", key="plan_cache_mode")

_INVALID_TEXT: Final = "22P02"
_GUARDED: Final = re.compile(GUARD + r"(?P<name>single|affected|key):(?P<rows>\d+)")


class DataSource(Protocol):
    """Runs statements in a transaction of their own; `monohull.kernel.database.data.DataPool` does."""

    async def run_batch(
        self,
        statements: Sequence[Statement],
        *,
        settings: Settings = (),
        commit: bool = True,
        isolation: Isolation | None = None,
        streams: bool = False,
    ) -> list[Rows]:
        """Return the rows of each, in text format; with ``streams`` the last has one row.

        A large last value of that row may come as `Rows.rest`.

        Raises:
            PostgresError: The server refused.
            Unavailable: No server, or no connection in time.
        """
        ...

    async def run_known(self, statement: Statement, settings: BoundSettings) -> Rows:
        """Do the same for one statement that only reads, sooner where it ran before."""
        ...


class Transaction(Struct, frozen=True):
    """How the caller's transaction begins and ends.

    Attributes:
        settings: Names and values, applied in order, gone with the transaction.
        plan_key: What a prepared plan belongs to beside its text: the role, and the search path,
            which computed fields are found by.
        before: Statements that run first, in the same transaction and round trip.
        commit: False rolls back in the end.
        isolation: None for the server's default.
    """

    settings: Settings
    plan_key: str
    before: tuple[Statement, ...] = ()
    commit: bool = True
    isolation: Isolation | None = None


class ResultSet(Struct, frozen=True):
    """What the database answered.

    Attributes:
        body: The document, as it goes out. One that still comes has to be closed, whatever happens.
        rows: How many rows are in it, or were written.
        total: How many there are without limit and offset, None when nobody asked.
        key: JSON array of names and values of the written row's primary key, where it was asked for.
        inserted: How many rows an upsert added; None for everything else.
        asides: What functions left in the settings that the compiler was told to give back.
        page: Of a page by cursor, JSON: the values by which its rows are ordered of the row nearest to where
            it began and of the farthest (null where there is none), and whether there are rows beyond.
    """

    body: bytes | ValueStream
    rows: int
    total: int | None = None
    key: bytes | None = None
    inserted: int | None = None
    asides: tuple[bytes | None, ...] = ()
    page: bytes | None = None

    def close(self) -> None:
        """Want no more of a body that still comes."""
        if not isinstance(self.body, bytes):
            self.body.close()


async def execute_request(
    source: DataSource,
    compiled: Compiled,
    values: Sequence[str | bytes],
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
        QueryProblem: A limit on written rows was passed; everything is rolled back.
        Unavailable: No server, or no connection in time.
    """
    asked = compiled.statement
    statement = Statement(asked.text, asked.choose(values), f"{asked.name}.{transaction.plan_key}")
    try:
        results = await source.run_batch(
            (*transaction.before, statement, *(() if transaction.commit else CHECKS)),
            settings=transaction.settings,
            commit=transaction.commit,
            isolation=transaction.isolation,
            # an estimate needs another connection, and this one would be held meanwhile
            streams=compiled.count_plan is None and not compiled.is_binary,
        )
    except PostgresError as error:
        if (not compiled.is_read_only or compiled.routine is not None) and (
            problem := guarded(error)
        ) is not None:
            raise problem from error
        raise
    answered = results[len(transaction.before)]
    row = only_row(compiled, answered)
    document = (row[-1] or b"") if answered.rest is None else answered.rest
    if compiled.is_binary and isinstance(document, bytes):
        document = bytes.fromhex(document.decode())
    result = read_result(compiled, row, document)
    counted = result.total
    if compiled.count_plan is not None and (counted is None or max_exact is None or counted > max_exact):
        # an estimate below what was counted already is known to be wrong
        counted = max(counted or 0, await _estimate(source, compiled, values, transaction))
        return msgspec.structs.replace(result, total=counted)
    return result


def only_row(compiled: Compiled, answered: Rows) -> Row:
    """Return the row that is the answer; see `Compiled.empty`.

    Where a key is none any more, all rows come with documents of their own, and the answer has all of them.

    Raises:
        NotOneRow: PGRST116, there is none and one was asked for.
    """
    rows = answered.rows
    if len(rows) == 1:
        return rows[0]
    if rows:
        return (*_counted(rows), _together([row[-1] or b"" for row in rows], compiled.empty))
    if compiled.empty is None:
        raise NotOneRow(0)
    return (None, b"0", *(None for _ in range(compiled.asides)), compiled.empty)


def _counted(rows: Sequence[Row]) -> Row:
    return (None, b"%d" % len(rows), *rows[-1][2:-1])


def _together(documents: Sequence[bytes], empty: bytes | None) -> bytes | None:
    """Return the document of all rows, as `json_agg` makes it; of several there is no object."""
    if empty != b"[]":
        return empty
    return b"[%b]" % b", \n ".join(document[1:-1] for document in documents)


def read_result(compiled: Compiled, row: Sequence[bytes | None], body: bytes | ValueStream) -> ResultSet:
    """Return what the only row of the statement says, around ``body``."""
    total, rows = row[:2]
    end = 2 + compiled.asides
    if compiled.is_paged:
        count = None if total is None else int(total)
        return ResultSet(body, int(rows or 0), count, asides=tuple(row[2:end]), page=row[end])
    key, inserted = row[end : end + 2] if len(row) > end + 1 else (None, None)
    return ResultSet(
        body,
        int(rows or 0),
        None if total is None else int(total),
        key,
        None if inserted is None else int(inserted),
        tuple(row[2:end]),
    )


async def execute_plan(
    source: DataSource,
    compiled: Compiled,
    values: Sequence[str | bytes],
    transaction: Transaction,
    clause: str,
) -> bytes:
    """Return the server's plan of ``compiled``; ``clause`` is EXPLAIN with its options.

    Nothing is prepared: what is explained is the plan for these values.

    Raises:
        PostgresError: The server refused.
        Unavailable: No server, or no connection in time.
    """
    asked = compiled.statement
    results = await source.run_batch(
        (*transaction.before, _FOR_THESE, Statement(f"{clause} {asked.text}", asked.choose(values))),
        settings=transaction.settings,
        commit=transaction.commit,
        isolation=transaction.isolation,
    )
    return b"\n".join(row[0] or b"" for row in results[-1].rows)


def guarded(error: PostgresError) -> Problem | None:
    """Return what the refusal by a guard of our own means, None for any other.

    The failed cast of a guard names it, and the number of rows.
    """
    found = _GUARDED.search(error.message) if error.sqlstate == _INVALID_TEXT else None
    if found is None:
        return None
    rows = int(found["rows"])
    match found["name"]:
        case "single":
            return NotOneRow(rows)
        case "affected":
            return TooManyAffected(rows)
        case _:
            return KeyMismatch()


async def _estimate(
    source: DataSource, compiled: Compiled, values: Sequence[str | bytes], transaction: Transaction
) -> int:
    """Ask the planner how many rows it expects. Its text depends on the values, so nothing is prepared."""
    assert compiled.count_plan is not None
    asked = compiled.count_plan
    results = await source.run_batch(
        (*transaction.before, Statement(asked.text, asked.choose(values))), settings=transaction.settings
    )
    explained = msgspec.json.decode(b"".join(row[0] or b"" for row in results[-1].rows))
    return int(explained[0]["Plan"]["Plan Rows"])
