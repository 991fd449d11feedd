"""Run the project's SQL files on the owner's connection and keep the ledger.

One connection, one session lock: whoever comes second waits, and then finds
the work done. A statement waits for a table in use only briefly, because
everybody else queues behind it; the file is tried again instead. Every failure
says file, line, column and what stands there.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg
from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.errors import MigrationRefused
from monohull.kernel.database.migrations import LOCK_KEY, LOCK_WAIT_SECONDS, Patience
from monohull.kernel.database.project import (
    LEDGER,
    ProjectFile,
    discover,
    plan,
    read_ledger,
)
from monohull.kernel.database.sql_text import SqlStatement, SqlTextError, excerpt, locate, split

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from monohull.kernel.database.engine import Database

PROJECT_LOCK_KEY: Final = LOCK_KEY + 1
SEARCH_PATH: Final = "public, extensions"
"""As Supabase's. Without "$user": an owner called like one of our schemas must not build there."""

_SHUTDOWN: Final = ("57P", "08")
"""The server's last words; that the connection is closed is heard a moment later."""

_NOT_NOW: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


class Done(Struct, frozen=True):
    """A file that was applied, and how long it took."""

    name: str
    duration_ms: int


async def pending(database: Database, project: Path, name: str) -> tuple[ProjectFile, ...]:
    """Return the migrations of ``project`` that are still to be applied; changes nothing.

    Raises:
        MigrationRefused: Folder and ledger contradict each other.
        DatabaseUnavailable: 503.
    """
    files = discover(project)
    async with database.connection() as connection:
        return plan(files, await read_ledger(connection, name))


async def apply(
    database: Database,
    project: Path,
    name: str,
    patience: Patience = Patience(),  # noqa: B008 frozen
) -> tuple[Done, ...]:
    """Apply what is pending, in order; what was applied before a failure stays.

    Args:
        database: The owner's; the platform's own migrations have to be there.
        project: Folder of ``monohull.toml``.
        name: Of the project, in the ledger.
        patience: With locks that other sessions hold.

    Raises:
        MigrationRefused: Folder and ledger contradict each other, or a file failed.
        DatabaseUnavailable: 503.
    """
    files = discover(project)
    async with ledger_lock(database) as connection:
        pending_files = plan(files, await read_ledger(connection, name))
        return await run_files(connection, name, pending_files, patience)


@asynccontextmanager
async def ledger_lock(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Lend a connection that holds the lock of the ledger until the block ends.

    Raises:
        MigrationRefused: Somebody else holds it for too long.
        DatabaseUnavailable: 503.
    """
    async with database.connection() as connection:
        await connection.execute(f"SET lock_timeout = {LOCK_WAIT_SECONDS * 1000}; SET statement_timeout = 0")
        try:
            await connection.execute(f"SELECT pg_advisory_lock({PROJECT_LOCK_KEY})")
        except asyncpg.LockNotAvailableError as error:
            raise MigrationRefused(
                f"another migration of the project has been running for more than {LOCK_WAIT_SECONDS} s; "
                "wait for it, or end its session"
            ) from error
        yield connection


async def record(connection: asyncpg.Connection, name: str, file: ProjectFile, duration_ms: int) -> None:
    """Write ``file`` into the ledger, in the caller's transaction."""
    await connection.execute(
        f"INSERT INTO {LEDGER} (project, kind, version, name, checksum, duration_ms) "  # noqa: S608 a constant
        "VALUES ($1, $2, $3, $4, $5, $6)",
        name,
        "seed" if file.version is None else "migration",
        file.version,
        file.name,
        file.checksum,
        duration_ms,
    )


async def run_files(
    connection: asyncpg.Connection, name: str, files: Sequence[ProjectFile], patience: Patience
) -> tuple[Done, ...]:
    """Run ``files`` one after the other under the caller's `ledger_lock`; the first failure ends it.

    Raises:
        MigrationRefused: A file failed.
    """
    done: list[Done] = []
    try:
        for file in files:
            statements = check(file)
            await _prepare(connection, patience)
            started = monotonic_seconds()
            run = _run_transaction if file.is_transactional else _run_apart
            await run(connection, name, file, statements, patience)
            done.append(Done(file.name, round((monotonic_seconds() - started) * 1000)))
    finally:
        if done and not connection.is_closed():
            leave = "ROLLBACK; " if connection.is_in_transaction() else ""
            await connection.execute(f"{leave}NOTIFY pgrst, 'reload schema'")
    return tuple(done)


def check(file: ProjectFile) -> list[SqlStatement]:
    """Cut ``file`` and refuse what cannot work before anything runs.

    A file that brings its own BEGIN at the start and COMMIT at the end means
    what happens anyway, so these two are left out.

    Raises:
        MigrationRefused: With the place.
    """
    try:
        statements = split(file.text)
    except SqlTextError as error:
        raise MigrationRefused(_message(file, error.offset, error.message)) from error
    if file.is_transactional and _is_wrapped(statements):
        statements = statements[1:-1]
    for statement in statements:
        if statement.text.startswith("\\"):
            reason = "this is a command of psql and not SQL; remove the line"
        elif statement.copies_from_client:
            reason = "COPY … FROM STDIN has no input here; write INSERT, or load a file with [seed] copy"
        elif file.is_transactional and statement.controls_transaction:
            reason = (
                "the file is a transaction already; remove this statement, "
                "or begin the file with `-- monohull: no-transaction`"
            )
        else:
            continue
        raise MigrationRefused(_message(file, statement.offset, reason))
    return statements


def _is_wrapped(statements: Sequence[SqlStatement]) -> bool:
    return (
        len(statements) > 1
        and statements[0].text.lower() in ("begin", "begin transaction", "begin work", "start transaction")
        and statements[-1].text.lower() in ("commit", "commit transaction", "commit work", "end")
    )


async def _prepare(connection: asyncpg.Connection, patience: Patience) -> None:
    """Give each file the same session, whatever the one before it had set."""
    await connection.execute(
        "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SET statement_timeout = 0; "
        f"SET standard_conforming_strings = on; SET search_path = {SEARCH_PATH}; "
        f"SET lock_timeout = {int(patience.lock_timeout_seconds * 1000)}"
    )


async def _run_transaction(
    connection: asyncpg.Connection,
    name: str,
    file: ProjectFile,
    statements: Sequence[SqlStatement],
    patience: Patience,
) -> None:
    started = monotonic_seconds()
    for attempt in range(1, patience.attempts + 1):
        try:
            async with connection.transaction():
                for statement in statements:
                    await _execute(connection, file, statement)
                await connection.execute("RESET SESSION AUTHORIZATION; RESET ROLE")
                await record(connection, name, file, round((monotonic_seconds() - started) * 1000))
        except _Failed as failed:
            if not isinstance(failed.cause, _NOT_NOW) or attempt == patience.attempts:
                advice = _advice(failed.cause, patience)
                raise MigrationRefused(
                    f"{failed}\nNothing of {file.name} was applied{advice}."
                ) from failed.cause
            await asyncio.sleep(0.5 * attempt)
        else:
            return


async def _run_apart(
    connection: asyncpg.Connection,
    name: str,
    file: ProjectFile,
    statements: Sequence[SqlStatement],
    patience: Patience,
) -> None:
    started = monotonic_seconds()
    for number, statement in enumerate(statements):
        # what runs concurrently waits for others without making anybody wait
        patient = 0 if statement.is_concurrent else int(patience.lock_timeout_seconds * 1000)
        await connection.execute(f"SET lock_timeout = {patient}")
        try:
            await _execute(connection, file, statement)
        except _Failed as failed:
            advice = _advice(failed.cause, patience)
            raise MigrationRefused(
                f"{failed}\n{file.name} runs without a transaction: {number} of its {len(statements)} "
                f"statements took effect and stay{advice}. Undo them, or write them so that they can be "
                "repeated (IF NOT EXISTS); an index that CREATE INDEX CONCURRENTLY left behind is invalid "
                "and has to be dropped."
            ) from failed.cause
    if connection.is_in_transaction():
        raise MigrationRefused(f"{file.name} ends inside of a transaction; write COMMIT at its end")
    await connection.execute("RESET SESSION AUTHORIZATION; RESET ROLE")
    await record(connection, name, file, round((monotonic_seconds() - started) * 1000))


class _Failed(Exception):
    """A statement that the server refused; the text says where."""

    def __init__(self, message: str, cause: asyncpg.PostgresError) -> None:
        super().__init__(message)
        self.cause = cause


async def _execute(connection: asyncpg.Connection, file: ProjectFile, statement: SqlStatement) -> None:
    try:
        await connection.execute(statement.text)
    except asyncpg.PostgresError as error:
        if connection.is_closed() or (error.sqlstate or "").startswith(_SHUTDOWN):
            raise
        position = getattr(error, "position", None)
        offset = statement.offset + (int(position) - 1 if position else 0)
        raise _Failed(_message(file, offset, _told(error)), error) from error


def _message(file: ProjectFile, offset: int, reason: str) -> str:
    line, column = locate(file.text, offset)
    return f"{file.name}, line {line}, column {column}: {reason}\n{excerpt(file.text, offset)}"


def _told(error: asyncpg.PostgresError) -> str:
    """Return everything the server said, on one line."""
    more = ((label, getattr(error, label, None)) for label in ("detail", "hint", "context"))
    told = [f"{label}: {said}".replace("\n", "; ") for label, said in more if said]
    return "; ".join([f"{error.args[0]} (SQLSTATE {error.sqlstate})", *told])


def _advice(cause: asyncpg.PostgresError, patience: Patience) -> str:
    if isinstance(cause, asyncpg.LockNotAvailableError):
        return (
            f"; another session holds a lock on that table (waited {patience.lock_timeout_seconds:g} s, "
            f"{patience.attempts} times): repeat when it is quieter"
        )
    if isinstance(cause, asyncpg.ActiveSQLTransactionError):
        return "; begin the file with `-- monohull: no-transaction`"
    return ""
