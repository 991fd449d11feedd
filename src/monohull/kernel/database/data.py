"""`DataPool`: runs data requests, each as one transaction and one round trip.

The caller brings statements and the settings they run under (`role`); which
connection serves them, and what happens when it ends or the caller goes away,
is decided here and in `pool`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from monohull.kernel.database.compose import AT_ONCE_BYTES
from monohull.kernel.database.conversation import Conversation
from monohull.kernel.database.exchange import ConnectionLost, ResultTooLarge
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.pool import (
    BRIEF_SECONDS,
    SHORT_SECONDS,
    TOGETHER_DEPTH,
    WirePool,
    depth_of,
    unavailable,
)
from monohull.kernel.database.statements import (
    BoundSettings,
    Isolation,
    Rows,
    Settings,
    Statement,
    is_read_only,
)
from monohull.kernel.database.wire import QUERY_CANCELED
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from monohull.kernel.database.asked import Asked
    from monohull.kernel.database.exchange import Exchange
    from monohull.kernel.database.wire import Wire

__all__ = [
    "BoundSettings",
    "DataPool",
    "Isolation",
    "PostgresError",
    "ResultExceedsCeiling",
    "Rows",
    "Settings",
    "Statement",
    "data_pool",
    "open_data_pool",
]

AS_LOGIN: Final[Settings] = (("role", "none"), ("request.jwt.claims", ""))
"""What a request without settings gets, so that nothing a function left in the session speaks for it."""


class ResultExceedsCeiling(Problem):
    """The rows of one answer have more bytes than the instance allows."""

    code = "result_too_large"
    status = 400
    hint = "Ask for fewer rows or columns: add a filter, limit or select."


class Addresses(Protocol):
    """Where the database is, once for each of both logins."""

    @property
    def data_url(self) -> str: ...

    @property
    def owner_url(self) -> str: ...


class DataPool(WirePool):
    """The pool of one process, as the rooms that answer data requests see it."""

    @property
    def login(self) -> Literal["authenticator", "owner"] | None:
        """Who data requests log in as; None until the first connection."""
        return self._login.kind if self._login else None

    @property
    def login_reason(self) -> str | None:
        """Why it is not ``authenticator``, or None."""
        return self._login.reason if self._login else None

    def effective_role(self, role: str) -> str:
        """Return the role that a request of ``role`` runs as; `run` applies this by itself."""
        return self._login.effective_role(role) if self._login else role

    async def run(
        self,
        sql: str,
        args: Sequence[str | bytes | None] = (),
        *,
        settings: Settings = (),
        key: str = "",
        commit: bool = True,
    ) -> Rows:
        """Run one statement under ``settings`` as one transaction; see `run_batch`."""
        [rows] = await self.run_batch((Statement(sql, args, key),), settings=settings, commit=commit)
        return rows

    async def run_batch(
        self,
        statements: Sequence[Statement],
        *,
        settings: Settings = (),
        commit: bool = True,
        isolation: Isolation | None = None,
        streams: bool = False,
    ) -> list[Rows]:
        """Run ``statements`` in order under ``settings``: one transaction, one round trip; return their rows.

        Cancelling this coroutine cancels the request on the server. When the connection ends before the
        answer, a read-only request is repeated once; a write is not, since it may have taken effect.

        Args:
            statements: Each with its text, arguments and key.
            settings: Role, claims and the rest, as `role.request_settings` makes them.
            commit: False rolls everything back in the end; errors and rows are the same.
            isolation: Of the transaction, or None for the server's default.
            streams: The last statement has one row, whose last value may come as `Rows.rest`: the caller
                iterates over it and closes it. It comes so only where nothing can be written, and not under
                serializable, where what was read is right only once the transaction is over.

        Raises:
            PostgresError: The server refused a statement; nothing of the request took effect.
            DatabaseUnavailable: 503, the server does not answer.
            PoolExhausted: 503, no connection became free in time.
            Draining: 503, the process stops.
            InvalidRequest: 400, an argument is no text.
            ResultExceedsCeiling: 400, the rows have too many bytes.
        """
        cost = self._shared_cost(statements, settings, is_plain=commit and isolation is None)
        shares = cost < SHORT_SECONDS
        streams = streams and (shares or (commit and isolation != "serializable" and is_read_only(settings)))
        is_repeated = False
        while True:
            wire = self.take_now(shares=shares, depth=depth_of(cost)) or await self.take(shares=shares)
            assert self._login is not None
            wire.gathers = shares and self.in_use > 1
            try:
                results = await wire.exchange(
                    statements,
                    self._login.effective_settings(settings or AS_LOGIN),
                    commit=commit,
                    isolation=isolation,
                    streams=streams,
                )
            except ConnectionLost as lost:
                if not lost.nothing_sent:
                    if is_repeated or not is_read_only(settings):
                        raise unavailable() from lost
                    is_repeated = True
            except PostgresError as error:
                was_hit = shares and wire.is_settling and error.sqlstate == QUERY_CANCELED
                self.put_back(wire, is_over=True)
                if is_repeated or not was_hit:
                    raise
                is_repeated, shares, cost = (
                    True,
                    False,
                    SHORT_SECONDS,
                )  # the cancelling of a neighbour met the wrong request
            except BaseException as error:
                self.put_back(wire, is_over=not isinstance(error, (asyncio.CancelledError, ResultTooLarge)))
                if isinstance(error, ResultTooLarge):
                    raise self.exceeded(error) from error
                raise
            else:
                self.put(wire, results[-1].rest if streams else None)
                return results

    async def run_known(self, statement: Statement, settings: BoundSettings) -> Rows:
        """Do what `run_batch` does for one statement, sooner where it is short and known.

        A large last value of the only row of what only reads may come as `Rows.rest`.

        Raises:
            PostgresError: The server refused.
            DatabaseUnavailable: As `run_batch` raises it, like all that is not named here.
        """
        cost, login = self._costs.get(statement.key, SHORT_SECONDS), self._login
        if cost < SHORT_SECONDS and login is not None and login.service_role_as is None:
            reads = settings.is_read_only
            # a write has a connection to itself while there are any: their commits reach the disk together
            wire = self.take_now(shares=True, depth=depth_of(cost) if reads else 0)
            if wire is None:
                wire = await self.take(shares=True)
            exchange = None
            try:
                wire.gathers = reads and len(self._wires) - len(self._idle) > 1  # as `gathers` says
                waiter: asyncio.Future[list[Rows]] = wire.create_future()
                exchange = wire.begin_known(waiter, statement, settings, streams=reads)
                rows = None if exchange is None else (await waiter)[1]
            except (ConnectionLost, PostgresError) as error:
                self.begin_anew(wire, error, reads=reads)
            except BaseException as error:
                self._leave(wire, exchange, error)
                raise
            else:
                self.put(wire, None if rows is None else rows.rest)
                if rows is not None:
                    return rows
        [rows] = await self.run_batch((statement,), settings=settings, streams=settings.is_read_only)
        return rows

    def ask_known(self, asked: Asked) -> bool:
        """Send what `run_known` would, and have ``asked`` hear what comes of it.

        No task has to wait, so that it costs no turn of the loop. False where `run_known` is the way.

        Raises:
            InvalidRequest: 400, an argument is no text.
        """
        cost, login = self._costs.get(asked.statement.key, SHORT_SECONDS), self._login
        if cost >= SHORT_SECONDS or login is None or login.service_role_as is not None:
            return False
        asked.pool = self
        reads, depth = asked.settings.is_read_only, 0
        if reads:
            depth = TOGETHER_DEPTH if cost <= BRIEF_SECONDS else depth_of(cost)
        wire = self.take_now(shares=True, depth=depth)
        if wire is not None:
            wire.gathers = reads and len(self._wires) - len(self._idle) > 1  # as `gathers` says
            return asked.send(wire)
        if self._is_closing or self._failing_since is not None:
            return False
        asked.line_up()
        return True

    def gathers(self, *, reads: bool) -> bool:
        """Say whether a known statement may wait for others of its turn of the loop."""
        return reads and len(self._wires) - len(self._idle) > 1

    @asynccontextmanager
    async def conversation(
        self, *, isolation: Isolation | None = None, writes: bool = False, parses_anew: bool = False
    ) -> AsyncIterator[Conversation]:
        """Hold a connection for one transaction of several round trips.

        Unless `Conversation.finish` was called, nothing of it takes effect. One that ``writes`` does so
        although some of its statements come with settings of requests that only read. With ``parses_anew``
        no statement is one that the server was told of before.

        Raises:
            DatabaseUnavailable: As `run_batch` raises it, like PoolExhausted and Draining.
        """
        wire = await self.take()
        assert self._login is not None
        wire.gathers = False
        if parses_anew:
            wire.forget_statements()
        try:
            yield Conversation(wire, self._login, isolation, _explain, writes=writes)
        finally:
            self.put_back(wire)

    def begin_anew(self, wire: Wire, error: ConnectionLost | PostgresError, *, reads: bool) -> None:
        """Put a connection back whose known statement failed; raise unless it may be tried anew.

        What the server refused it has rolled back. Whether a write took effect whose connection was lost
        is not known.
        """
        was_hit = wire.is_settling and isinstance(error, PostgresError) and error.sqlstate == QUERY_CANCELED
        self.put_back(wire, is_over=True)
        if isinstance(error, PostgresError) and not was_hit:
            if not error.is_stale_statement:
                raise error
            wire.forget_statements()
        if isinstance(error, ConnectionLost) and not (reads or error.nothing_sent):
            raise unavailable() from error

    def _leave(self, wire: Wire, exchange: Exchange | None, error: BaseException) -> None:
        """Put back a connection whose known statement nobody waits for any more."""
        if exchange is not None and exchange.body is not None:  # answered in the same turn of the loop
            exchange.body.close()
        self.put_back(wire, is_over=not isinstance(error, (asyncio.CancelledError, ResultTooLarge)))
        if isinstance(error, ResultTooLarge):
            raise self.exceeded(error) from error

    @staticmethod
    def exceeded(error: ResultTooLarge) -> ResultExceedsCeiling:
        """Return the refusal of a request whose rows passed the ceiling."""
        return ResultExceedsCeiling(f"The {error.args[0].removeprefix('the ')}.")

    def _shared_cost(self, statements: Sequence[Statement], settings: Settings, *, is_plain: bool) -> float:
        """Return what a request costs, in seconds, that can be sent behind others and others behind it.

        It reads only, so that it can be repeated; it ends with its one statement, whatever becomes of it;
        it is small. Any other costs more than what is short.
        """
        if not is_plain or len(statements) != 1:
            return SHORT_SECONDS
        if not isinstance(settings, BoundSettings) or not settings.is_read_only:
            return SHORT_SECONDS
        [statement] = statements
        size = len(settings.values)
        for arg in statement.args:
            if arg is not None:
                size += len(arg)
        return self.cost_of(statement.key) if size <= AT_ONCE_BYTES else SHORT_SECONDS


def _explain(error: ConnectionLost | ResultTooLarge) -> Problem:
    return DataPool.exceeded(error) if isinstance(error, ResultTooLarge) else unavailable()


def data_pool(
    connections: Addresses,
    *,
    size: int,
    timeout_seconds: float,
    kind: Callable[..., DataPool] = DataPool,
    **options: Any,
) -> DataPool:
    """Make the pool of a process, network untouched; ``options`` are those of its ``kind``.

    Without the option ``owner_url`` the owner stands in where ``authenticator`` cannot log in.
    """
    options.setdefault("owner_url", connections.owner_url)
    return kind(
        connections.data_url,
        size=size,
        timeout_seconds=timeout_seconds,
        **options,
    )


async def open_data_pool(
    connections: Addresses, *, size: int, timeout_seconds: float, **options: Any
) -> DataPool:
    """Make the pool and open its first connection, for commands that need to know the login.

    Raises:
        DatabaseUnavailable: The database does not answer, or refuses both logins.
    """
    pool = data_pool(connections, size=size, timeout_seconds=timeout_seconds, **options)
    if not await pool.open():
        await pool.close()
        raise unavailable()
    return pool
