"""`Database`: the owner's connections, pooled by SQLAlchemy over asyncpg.

A server that is away is a state and no defect: whatever shape the driver gives
it (refused, no such host, wrong password, closed in the middle of a statement)
it leaves here as `DatabaseUnavailable`, a 503 that names the address and the
reason and never the password. The pool opens new connections by itself, so
that a server that comes back is used without a restart.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from monohull.kernel.database.session import unit_of_work
from monohull.kernel.database.single import SingleStatements
from monohull.kernel.database.statement_spans import about, operation_of, trace_statements
from monohull.kernel.database.urls import parse_url
from monohull.kernel.errors import (
    ChangesCollided,
    DatabaseUnavailable,
    PoolExhausted,
    SchemaConflict,
    Unavailable,
)
from monohull.kernel.observation import SILENT, Observer
from monohull.kernel.span import Kind
from monohull.kernel.tracing import OFF, Tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

CONNECT_TIMEOUT_SECONDS: Final = 5.0
RETRY_AFTER_SECONDS: Final = 2

_AWAY_CLASSES: Final = ("08", "28", "57", "53")
"""SQLSTATE classes of a server that does not serve us: connection, authorisation, shutdown, resources."""

_AWAY_STATES: Final = frozenset({"3D000", "25006"})
"""No such database; read-only, as a former primary is after a failover."""

_COLLIDED: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

REFUSED_STATE: Final = "MH409"
"""SQLSTATE of our own triggers, for what would break a rule; message and hint are for clients."""

_DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Database:
    """The platform's own connections; for data requests there is `DataPool`.

    Args:
        url: ``postgresql://…`` as `urls.parse_url` reads it.
        pool_size: Connections kept; as many again may be open for a moment.
        application_name: Shown in ``pg_stat_activity``; the URL's own wins.
        timeout_seconds: How long a unit of work waits for a connection.
        observer: Told what goes wrong where nobody can be told by an exception.
        tracing: Records statements of the requests and jobs that are.

    Raises:
        DatabaseUrlError: The URL cannot be used.
    """

    def __init__(  # noqa: PLR0913 options by keyword
        self,
        url: str,
        *,
        pool_size: int = 4,
        application_name: str = "monohull",
        timeout_seconds: float = 5.0,
        observer: Observer = SILENT,
        tracing: Tracing = OFF,
    ) -> None:
        self.url = parse_url(url)
        self._arguments = self.url.connect_arguments()
        self._settings = {"application_name": application_name, **self.url.server_settings}
        self._connect_timeout = self.url.connect_timeout_seconds or CONNECT_TIMEOUT_SECONDS
        self._observer = observer
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.connect,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=timeout_seconds,
            pool_pre_ping=True,
            pool_recycle=1800,
        )
        self._tracing = tracing if tracing.reaches_sql else None
        if self._tracing is not None:
            trace_statements(self.engine, self._tracing)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._single = SingleStatements(self.connect, size=pool_size, timeout_seconds=timeout_seconds)

    @property
    def address(self) -> str:
        """``host:port`` for messages."""
        return self.url.address

    async def open(self) -> None:
        """Connect once, so that a wrong address or password shows at the start and not in a request.

        A `Database` that could not be opened may be used all the same: every
        unit of work tries again.

        Raises:
            DatabaseUnavailable: With the address and the reason.
        """
        async with self.connected() as connection:
            await connection.exec_driver_sql("SELECT 1")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Close the pool when the block ends; a server that is away now may come later."""
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every idle connection; the others are closed as they come back."""
        await self._single.close()
        await self.engine.dispose()

    async def run(self, sql: str, *arguments: Any) -> Mapping[str, Any] | None:
        """Run one statement as a transaction of its own, in one round trip; return its first row.

        For what is asked so often that BEGIN, COMMIT and a ping would be most of the cost. A connection
        that turns out to be dead is replaced and the statement repeated, so it has to bear that.

        Args:
            sql: With ``$1`` and so on.
            arguments: As asyncpg takes them.

        Raises:
            DatabaseUnavailable: 503. PoolExhausted: 503.
        """
        with self.translated():
            if self._tracing is None or (trace := self._tracing.noticed()) is None:
                return await self._single.fetch_first(sql, arguments)
            tag = self._tracing.settings_of(trace) if self._tracing.tags(trace) else None
            with self._tracing.span(operation_of(sql), Kind.CLIENT, **about(sql)):
                return await self._single.fetch_first(sql, arguments, tag)

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[AsyncSession]:
        """Open a session whose work is committed when the block ends and rolled back when it raises.

        Raises:
            DatabaseUnavailable: 503; nothing is known of the work when it happens at the commit.
            SchemaConflict: 409; a trigger of ours refused it.
            ChangesCollided: 503; it and another one waited for each other.
            PoolExhausted: 503; every connection stayed busy.
        """
        with self.translated():
            async with unit_of_work(self._sessions, self._observer) as session:
                yield session

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncConnection]:
        """Lend a SQLAlchemy connection; what is not committed is rolled back.

        Raises:
            DatabaseUnavailable: 503.
            PoolExhausted: 503.
        """
        with self.translated():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Open an asyncpg connection of its own, outside the pool, for LISTEN, COPY and session locks.

        Raises:
            DatabaseUnavailable: 503.
        """
        connection = await self.connect()
        try:
            with self.translated():
                yield connection
        finally:
            await _hang_up(connection)

    async def connect(self, **_: Any) -> asyncpg.Connection:
        """Open one asyncpg connection, which the caller closes.

        Raises:
            DatabaseUnavailable: 503.
        """
        try:
            return await asyncpg.connect(
                **self._arguments, timeout=self._connect_timeout, server_settings=self._settings
            )
        except (*_DRIVER_ERRORS, OSError, TimeoutError) as error:
            raise self.unavailable(error) from error

    def unavailable(self, error: BaseException) -> DatabaseUnavailable:
        """Say that this server cannot be used, and why."""
        return DatabaseUnavailable(
            f"the database at {self.address} is not available: {reason(error, self._connect_timeout)}",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the driver raises about an absent server into `DatabaseUnavailable`."""
        try:
            yield
        except PoolTimeout as error:
            raise PoolExhausted("every platform database connection is busy") from error
        except DBAPIError as error:
            cause = driver_error(error)
            if isinstance(cause, asyncpg.InvalidCachedStatementError):
                # SQLAlchemy has dropped its caches already; the same statement works next time
                raise Unavailable(
                    "the schema changed under a prepared statement; repeat the request"
                ) from error
            if error.connection_invalidated or is_away(cause):
                raise self.unavailable(cause) from error
            if isinstance(cause, _COLLIDED):
                raise ChangesCollided("this change and another one waited for each other") from error
            if isinstance(cause, asyncpg.PostgresError) and cause.sqlstate == REFUSED_STATE:
                raise SchemaConflict(
                    str(cause.args[0]), rule=cause.constraint_name, hint=cause.hint
                ) from error
            raise
        except (*_DRIVER_ERRORS, ConnectionError) as error:
            if is_away(error):
                raise self.unavailable(error) from error
            raise


def driver_error(error: SQLAlchemyError) -> BaseException:
    """Return what asyncpg raised, which SQLAlchemy wraps twice."""
    wrapped: BaseException | None = getattr(error, "orig", None)
    return error if wrapped is None else wrapped.__cause__ or wrapped


def is_away(error: BaseException) -> bool:
    """Say whether ``error`` is about the server or the connection and not about the statement.

    >>> is_away(ConnectionRefusedError())
    True
    >>> is_away(asyncpg.UniqueViolationError("duplicate key"))
    False
    """
    if isinstance(error, OSError):
        return True
    if isinstance(error, asyncpg.PostgresError):
        state = getattr(error, "sqlstate", None) or ""
        # 57014 is a statement that was cancelled: by its time-out, or by somebody
        return state in _AWAY_STATES or (state[:2] in _AWAY_CLASSES and state != "57014")
    return is_interrupted(error) or (isinstance(error, asyncpg.InterfaceError) and "closed" in str(error))


def is_interrupted(error: BaseException) -> bool:
    """Say whether asyncpg had read the server's last words, but did not know yet that they were the last."""
    return isinstance(error, asyncpg.InternalClientError) and "cannot switch to state" in str(error)


def reason(error: BaseException, timeout_seconds: float) -> str:
    """Say in a few words why a connection failed, for the person who can mend it."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    if isinstance(error, asyncpg.PostgresError):
        return f"{error.args[0] if error.args else type(error).__name__} (SQLSTATE {error.sqlstate})"
    if is_interrupted(error):
        return "the server closed the connection"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is PostgreSQL running there?"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__


async def _hang_up(connection: asyncpg.Connection) -> None:
    """Say goodbye, but do not wait for a server that is gone."""
    try:
        await connection.close(timeout=1.0)
    except (*_DRIVER_ERRORS, OSError, TimeoutError):
        connection.terminate()
