"""Platform migrations: where they are, what is pending, and bringing a database up.

Alembic runs inside this process on a connection of its own. A session lock
keeps migrators apart, so that any number of processes may call `upgrade` at the
same time: one works, the others wait and find nothing left to do. Each revision
is a transaction; a lock that other sessions hold on a table is waited for
briefly and several times, so that a migration never makes a queue of them.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from monohull.kernel.database import ddl, search_paths
from monohull.kernel.database.engine import driver_error, is_away
from monohull.kernel.database.errors import MigrationRefused, SchemaNewer
from monohull.kernel.database.platform_version import SCHEMA, VERSION_TABLE, StateKind, current, read_version
from monohull.kernel.database.revisions import locate
from monohull.kernel.database.server import ensure_roles, ensure_schemas_possible, read_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from monohull.kernel.database.engine import Database

LOCK_KEY: Final = int.from_bytes(b"monohull")
"""Of the session lock: the name's eight bytes as a bigint."""

LOCK_WAIT_SECONDS: Final = 120
"""How long a migrator waits for another one."""

LOCK_NOT_AVAILABLE: Final = "55P03"

_TURN: Final = threading.Lock()
"""Alembic's ``op`` and ``context`` are one for a whole process, whatever it migrates."""


class Revision(Struct, frozen=True):
    """A platform migration: its id and the first line of its docstring."""

    id: str
    title: str


class Login(Struct, frozen=True):
    """The data requests' login.

    Attributes:
        password: Given to it when it has to be made.
        is_reset: Given to it in any case: for a server that is ours alone.
    """

    password: str
    is_reset: bool = False

    def __repr__(self) -> str:
        return f"Login(is_reset={self.is_reset})"


class Patience(Struct, frozen=True):
    """How long one statement waits for a table that others use, and how often it is tried."""

    lock_timeout_seconds: float = 5.0
    attempts: int = 3


class MigrationState(Struct, frozen=True, kw_only=True):
    """How a database compares with this code.

    Attributes:
        kind: ``newer`` when the database holds a revision that this code does not know.
        current: Revision of the database, or None when it has none.
        head: Newest revision of this code.
        pending: What `upgrade` would apply, in order.
    """

    kind: StateKind
    current: str | None
    head: str
    pending: tuple[Revision, ...] = ()

    @property
    def problem(self) -> str | None:
        """One sentence that says what is wrong and what to do; None when nothing is."""
        if self.kind == "newer":
            return (
                f"the database's platform schema is at revision {self.current}, which is newer than this "
                f"code (it knows up to {self.head}); start the version that made it, "
                "or restore a backup from before"
            )
        if self.kind == "pending":
            names = ", ".join(revision.id for revision in self.pending)
            return f"platform migrations are pending ({names}); run `monohull migrate`"
        return None


def head(folder: Path | None = None) -> str:
    """Return the id of the newest revision of this code."""
    return _head(_scripts(_config(folder)))


async def state(database: Database, *, folder: Path | None = None) -> MigrationState:
    """Compare the database with this code; changes nothing.

    Raises:
        DatabaseUnavailable: 503.
    """
    return _compare(_scripts(_config(folder)), await current(database))


async def pending(database: Database, *, folder: Path | None = None) -> tuple[Revision, ...]:
    """Return what `upgrade` would apply, in order.

    Raises:
        SchemaNewer: The database is ahead of this code.
        DatabaseUnavailable: 503.
    """
    found = await state(database, folder=folder)
    _refuse_newer(found)
    return found.pending


async def upgrade(
    database: Database,
    login: Login,
    *,
    folder: Path | None = None,
    target: str = "head",
    patience: Patience = Patience(),  # noqa: B008 frozen
) -> tuple[Revision, ...]:
    """Bring the database to ``target`` and the cluster's roles where they have to be.

    Each time the event triggers of `ddl` are tried too: whether they are allowed may have changed.

    Args:
        database: The owner's.
        login: Of data requests.
        folder: Of the revisions; None to `locate` it.
        target: A revision id, or ``head``.
        patience: With locks that other sessions hold.

    Returns:
        What was applied, in order; empty when there was nothing to do.

    Raises:
        SchemaNewer: The database is ahead of this code.
        AdministratorNeeded: The owner role may not do what is needed.
        MigrationRefused: A revision failed; it and the later ones are not applied.
        DatabaseUnavailable: 503.
    """
    config = _config(folder)
    scripts = _scripts(config)
    async with _locked(database, patience) as connection:
        found = _compare(scripts, await connection.run_sync(read_version))
        await connection.commit()
        _refuse_newer(found)

        def prepare(sync: Connection) -> None:
            ensure_schemas_possible(read_server(sync))
            ensure_roles(sync, login.password, reset_password=login.is_reset)
            if not sync.exec_driver_sql(f"SELECT to_regnamespace('{SCHEMA}')").scalar_one():
                sync.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")

        await _run(connection, prepare, patience.attempts)
        config.attributes["authenticator_password"] = login.password
        await _run_alembic(connection, config, lambda: command.upgrade(config, target), patience.attempts)
        await _run(connection, ddl.ensure, patience.attempts)
        await _run(connection, search_paths.pin, patience.attempts)
        reached = await connection.run_sync(read_version)
    upto = _compare(scripts, reached).pending
    return tuple(revision for revision in found.pending if revision not in upto)


async def downgrade(
    database: Database,
    target: str,
    *,
    folder: Path | None = None,
    patience: Patience = Patience(),  # noqa: B008 frozen
) -> None:
    """Take the database back to revision ``target``, or to ``base``: nothing of the platform is left.

    The cluster's roles stay, other databases may use them. The event triggers of `ddl` go in any case;
    the next `upgrade` brings them back.

    Raises:
        SchemaNewer: The database is ahead of this code, which cannot know how to go back.
        MigrationRefused: A revision cannot be undone, because something of the user's depends on it.
        DatabaseUnavailable: 503.
    """
    config = _config(folder)
    async with _locked(database, patience) as connection:
        _refuse_newer(_compare(_scripts(config), await connection.run_sync(read_version)))
        await connection.commit()
        await _run(connection, ddl.remove, 1)
        await _run_alembic(connection, config, lambda: command.downgrade(config, target), 1)
        if target == "base":
            await _run(connection, _drop_version_table, 1)


def _config(folder: Path | None) -> Config:
    config = Config()
    # ConfigParser reads % as its own
    config.set_main_option("script_location", str(folder or locate()).replace("%", "%%"))
    return config


def _scripts(config: Config) -> ScriptDirectory:
    return ScriptDirectory.from_config(config)


def _head(scripts: ScriptDirectory) -> str:
    heads = scripts.get_heads()
    if len(heads) != 1:
        raise MigrationRefused(
            f"the platform's migrations have {len(heads)} heads ({', '.join(sorted(heads))})"
        )
    return heads[0]


def _compare(scripts: ScriptDirectory, found: str | None) -> MigrationState:
    newest = _head(scripts)
    known = [script.revision for script in scripts.walk_revisions()]
    if found is not None and found not in known:
        return MigrationState(kind="newer", current=found, head=newest)
    missing = scripts.iterate_revisions(newest, found or "base")
    pending_revisions = tuple(
        Revision(script.revision, script.doc)
        for script in reversed([s for s in missing if s.revision != found])
    )
    kind: StateKind = "pending" if pending_revisions else "current"
    return MigrationState(kind=kind, current=found, head=newest, pending=pending_revisions)


def _refuse_newer(found: MigrationState) -> None:
    if found.kind == "newer":
        raise SchemaNewer(found.problem or "")


def _drop_version_table(connection: Connection) -> None:
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {SCHEMA}.{VERSION_TABLE}")
    connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {SCHEMA}")


@asynccontextmanager
async def _locked(database: Database, patience: Patience) -> AsyncIterator[AsyncConnection]:
    """Lend a connection outside the pool that holds the migrators' lock; both end with the block."""
    engine = create_async_engine("postgresql+asyncpg://", async_creator=database.connect, poolclass=NullPool)
    try:
        with database.translated():
            async with engine.connect() as connection:
                await _take_lock(connection)
                await connection.exec_driver_sql(
                    f"SET lock_timeout = {int(patience.lock_timeout_seconds * 1000)}"
                )
                await connection.commit()
                yield connection
    finally:
        await engine.dispose()


async def _take_lock(connection: AsyncConnection) -> None:
    await connection.exec_driver_sql(f"SET lock_timeout = {LOCK_WAIT_SECONDS * 1000}")
    await connection.exec_driver_sql("SET statement_timeout = 0")
    await connection.commit()
    try:
        await connection.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK_KEY})")
    except DBAPIError as error:
        if getattr(driver_error(error), "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        raise MigrationRefused(
            f"another migration has been running for more than {LOCK_WAIT_SECONDS} s; wait for it, or look "
            "for the session in pg_locks that holds an advisory lock, and end it"
        ) from error


async def _run(connection: AsyncConnection, work: Callable[[Connection], None], attempts: int) -> None:
    """Run ``work`` in a transaction, again when a lock was not to be had."""

    async def once() -> None:
        await connection.run_sync(work)
        await connection.commit()

    await _with_patience(connection, once, attempts, "preparing the platform's roles and schemas")


async def _run_alembic(
    connection: AsyncConnection, config: Config, work: Callable[[], None], attempts: int
) -> None:
    """Let alembic do ``work``; a revision that was committed is not repeated."""

    def run(sync: Connection) -> None:
        config.attributes["connection"] = sync
        work()

    async def once() -> None:
        await connection.rollback()  # alembic opens its transactions itself, one for each revision
        while not _TURN.acquire(blocking=False):  # noqa: ASYNC110 other threads have other loops
            await asyncio.sleep(0.02)
        try:
            await connection.run_sync(run)
        finally:
            _TURN.release()

    await _with_patience(connection, once, attempts, "a platform migration")


async def _with_patience(connection: AsyncConnection, work: Any, attempts: int, what: str) -> None:
    for attempt in range(1, attempts + 1):
        try:
            await work()
        except DBAPIError as error:
            await _forget(connection)
            cause = driver_error(error)
            if error.connection_invalidated or is_away(cause):
                raise
            if getattr(cause, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise MigrationRefused(f"{what} failed and was rolled back: {cause}") from error
            if attempt == attempts:
                raise MigrationRefused(
                    f"{what} could not lock a table that other sessions use ({attempts} attempts); "
                    "nothing of it was applied, repeat when the database is quieter"
                ) from error
            await asyncio.sleep(0.5 * attempt)
        else:
            return


async def _forget(connection: AsyncConnection) -> None:
    """Leave a failed transaction, unless the connection itself is gone."""
    if not connection.invalidated:
        await connection.rollback()
