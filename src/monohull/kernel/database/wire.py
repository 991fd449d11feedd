"""One connection that speaks PostgreSQL's extended protocol as a pipeline.

A data request is some settings (role, claims, read only, time-out) and one
statement. Sent before one Sync they are one implicit transaction and one round
trip; what asyncpg needs four for.

A connection serves its requests one after the other. Whether a request is sent
while another one runs is for the pool to say; only what cannot leave a
transaction open may be.

Everything is text: parameters go out untyped, so that PostgreSQL infers their
types as it does for literals, and columns come back as the bytes it wrote.
Nothing is decoded on the way.

asyncpg opens the connection and hands its transport over (`dial`), so there is
no authentication and no TLS here.

Source: PostgreSQL documentation, chapter 54, "Frontend/Backend Protocol".
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.compose import compose, compose_known
from monohull.kernel.database.exchange import (
    WRITE_AT_ONCE_BYTES,
    ConnectionLost,
    Exchange,
    ResultTooLarge,
    last_word,
    pieces,
)
from monohull.kernel.database.frames import (
    DATA_ROW,
    ROLLBACK,
    TERMINATE,
    FrameReader,
    PostgresError,
    ProtocolViolation,
    Row,
    Sink,
    read_columns,
    read_fields,
    read_parameter,
    read_row,
    read_single_row,
)
from monohull.kernel.database.spool import Spools
from monohull.kernel.database.statements import (
    BoundSettings,
    Isolation,
    Rows,
    Settings,
    Span,
    Statement,
    StatementCache,
)
from monohull.kernel.database.stream import NotTheOnlyRow, RowInPieces, ValueStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from monohull.kernel.database.exchange import Waiter

_INERTIA: Final = 0.75
"""How much of what a statement cost so far remains when it has run again."""

_NOT_SHORT_SECONDS: Final = 1.0
"""The cost of what had to be cancelled or gave a large answer, however soon that was."""

GRACE_SECONDS: Final = 0.01
"""A cancelled request gets this long to end by itself; a CancelRequest costs the server a fork."""


QUERY_CANCELED: Final = "57014"

_SETTINGS_APPLIED: Final = Rows((), [], "SELECT 0")
_IDLE: Final = ord("I")
_OPEN: Final = ord("T")
_IGNORED: Final = frozenset(b"23tAs")
"""Bind and Close done, parameter types, notifications (somebody said LISTEN), a suspended portal."""


class Notice(NamedTuple):
    """A message of the server that is no error."""

    severity: str
    sqlstate: str
    message: str


class Wire(asyncio.Protocol):
    """A connection that asyncpg opened, from the moment it was handed over.

    Args:
        pid: Process id of the server's backend.
        cancel: Sends a CancelRequest for this backend and returns once the server acted on it.
        prepared: Keep statements between requests. False for PgBouncer in transaction mode, where the next
            request may meet another backend.
        max_statements: How many are kept; the least recently used one goes first.
        max_result_bytes: Ceiling of one request's rows, or None.

    Attributes:
        load: Requests that were given this connection and are not over; the pool counts them.
        is_shared: Whether more may be given it while it has some.
        gathers: What is sent next may wait for what else is sent in the same turn of the loop, for one write
            wakes the server once.
        is_settling: A request on it was left and is being ended, which may hit one of the others.
        costs: Seconds that statements take, by key; one for all connections of a pool.
        call_soon: The loop's; to ask for the running loop is a system call in Python 3.11.
        create_future: The loop's.
        spools: Where clients' leftovers go; one for all connections of a pool.
        is_in_transaction: Whether one goes on after the request that came last.
    """

    def __init__(
        self,
        *,
        pid: int,
        cancel: Callable[[], Awaitable[None]],
        prepared: bool = True,
        max_statements: int = 500,
        max_result_bytes: int | None = None,
    ) -> None:
        self.pid = pid
        self.parameters: dict[str, str] = {}
        self.on_lost: Callable[[Wire, str], None] | None = None
        self.on_notice: Callable[[Notice], None] | None = None
        self._cancel = cancel
        self._max_result_bytes = max_result_bytes
        self._statements = StatementCache(max_statements if prepared else 0)
        self.load = 0
        self.is_shared = False
        self.is_settling = False
        self.is_in_transaction = False
        self.gathers = False
        self.costs: dict[str, float] = {}
        self.spools = Spools()
        self._outgoing: list[bytes] = []
        self._exchange: Exchange | None = None
        self._behind: deque[Exchange] = deque()
        self._reason: str | None = None
        self._is_lost = False
        self._at_rest: asyncio.Event | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport
        self._loop = loop = asyncio.get_running_loop()
        self.call_soon: Final = loop.call_soon
        self.create_future: Final = loop.create_future
        self._reader = FrameReader(self._receive, self._offer)
        self._acts: dict[int, Callable[[bytes, int, int], None]] = {
            DATA_ROW: self._on_row,
            ord("C"): self._on_complete,
            ord("I"): self._on_complete,
            ord("Z"): self._on_ready,
            ord("E"): self._on_error,
            ord("1"): self._on_parsed,
            ord("T"): self._on_columns,
            ord("n"): self._on_columns,
            ord("N"): self._on_notice,
            ord("S"): self._on_parameter,
        }

    @property
    def is_open(self) -> bool:
        """Whether requests can still be sent."""
        return not (self._is_lost or self._transport.is_closing())

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way, and no transaction is open."""
        return self._exchange is None and not self.is_in_transaction

    @property
    def statement_count(self) -> int:
        """How many prepared statements are kept."""
        return len(self._statements)

    async def exchange(  # noqa: PLR0913 a request has these parts
        self,
        statements: Sequence[Statement],
        settings: Settings = (),
        *,
        commit: bool = True,
        isolation: Isolation | None = None,
        streams: bool = False,
        span: Span = "whole",
    ) -> list[Rows]:
        """Run ``statements`` under ``settings`` as one transaction; return the rows of each.

        With another ``span`` it is a part of one: the first begins it, the last ends it. When one fails the
        transaction is over.

        With ``streams`` the last statement has one row, and this returns as soon as all of it but its last
        value is there, if that one is large: `Rows.rest` hands it out. The connection is of no other use
        until then.

        A prepared statement that the server no longer takes (its result type changed, or somebody discarded
        it) is parsed again and the request repeated, once: the failed transaction left nothing behind. In
        the midst of one only the next is parsed again.

        Raises:
            PostgresError: The server refused; the transaction is rolled back and the connection clean.
            ConnectionLost: The connection ended before the answer.
            ResultTooLarge: The rows passed the ceiling; call `settle` before anything else.
        """
        is_repeated = False
        while True:
            waiter: asyncio.Future[list[Rows]] = self.create_future()
            exchange = self._begin(waiter, statements, settings, commit, isolation, streams, span)
            try:
                if exchange.parts:
                    await self._write_in_pieces(exchange)
                results = await waiter
            except PostgresError as error:
                if error.is_stale_statement:
                    self._statements.forget()
                if is_repeated or not error.is_stale_statement or span in {"inner", "last"}:
                    raise
                is_repeated = True
            except asyncio.CancelledError:
                if exchange.body is not None:  # it was answered in the same turn of the loop
                    exchange.body.close()
                raise
            else:
                return results[exchange.first : exchange.first + exchange.asked]

    def _begin(  # noqa: PLR0913, PLR0917 a request has these parts
        self,
        waiter: asyncio.Future[list[Rows]],
        statements: Sequence[Statement],
        settings: Settings,
        commit: bool,
        isolation: Isolation | None,
        streams: bool,
        span: Span,
    ) -> Exchange:
        """Encode the request and write it, unless it is large: then its parts are left to be written."""
        if self._is_lost or self._transport.is_closing():
            raise ConnectionLost(self._reason or "the connection is closed", nothing_sent=True)
        asked = len(statements)
        is_whole = span == "whole"
        if is_whole and asked == 1 and commit and isolation is None and isinstance(settings, BoundSettings):
            known = self.begin_known(waiter, statements[0], settings, streams=streams)
            if known is not None:
                return known
        key = statements[0].key if asked == 1 and is_whole else ""
        exchange = Exchange(waiter, asked, streams, key)
        exchange.stays_open = span in {"first", "inner"}
        compose(
            exchange, self._statements, statements, settings, commit=commit, isolation=isolation, span=span
        )
        self._queue(exchange)
        if exchange.size <= WRITE_AT_ONCE_BYTES:
            self._write(b"".join(exchange.parts))
            exchange.parts.clear()
        return exchange

    def begin_known(
        self, waiter: Waiter, statement: Statement, settings: BoundSettings, *, streams: bool
    ) -> Exchange | None:
        """Write a request of one statement, if the server knows that and the settings.

        ``waiter`` is told its answer; whoever that is does what `exchange` does when it fails. With
        ``streams`` its last value may come as `Rows.rest`.

        Raises:
            InvalidRequest: An argument is no text.
        """
        if self._is_lost or self._transport.is_closing():
            return None
        known = compose_known(self._statements, statement, settings)
        if known is None:
            return None
        data, steps = known
        exchange = Exchange(waiter, 1, streams, statement.key, steps, 1, True)
        self._queue(exchange)
        self._write(data)
        return exchange

    def forget_statements(self) -> None:
        """Have every statement parsed again at its next use."""
        self._statements.forget()

    def _queue(self, exchange: Exchange) -> None:
        if self._exchange is None:
            exchange.began_at = monotonic_seconds()
            self._exchange = exchange
        else:
            self._behind.append(exchange)

    def _write(self, data: bytes) -> None:
        """Write ``data``, or have it wait for what comes in this turn of the loop."""
        self._outgoing.append(data)
        if not self.gathers:
            self._flush()
        elif len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._outgoing:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            if not self._transport.is_closing():
                self._transport.write(data)

    async def _write_in_pieces(self, exchange: Exchange) -> None:
        """Write a large request at the pace of the socket. Left halfway, the connection is of no use."""
        try:
            self._flush()
            for piece in pieces(exchange.parts):
                await self._writable.wait()
                if exchange.waiter.done():  # lost meanwhile
                    return
                self._transport.write(piece)
        except asyncio.CancelledError:
            exchange.waiter.cancel()
            self.abort("a request was cancelled while it was being written")
            raise
        finally:
            exchange.parts.clear()

    async def settle(self) -> None:
        """Bring the connection to rest after its request was cancelled: end that request, read to its end.

        The server is asked to cancel on a connection of its own, and answers by closing that one after the
        signal went out. The empty exchange at the end takes whatever effect the signal may still have.

        Raises:
            ConnectionLost: There was nothing left to bring to rest.
            OSError: The server does not take the CancelRequest.
        """
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._until_idle()
        except TimeoutError:
            if self._exchange is not None and self._exchange.key:
                self.costs[self._exchange.key] = _NOT_SHORT_SECONDS
            await self._cancel()
            await self._until_idle()
        try:
            await self.exchange(())
        except PostgresError as error:
            if error.sqlstate != QUERY_CANCELED:
                raise

    async def _until_idle(self) -> None:
        """Wait until no request is under way, or the connection is lost."""
        if self._exchange is not None:
            self._at_rest = self._at_rest or asyncio.Event()
            await self._at_rest.wait()

    def close(self) -> None:
        """Say goodbye and close; what is buffered is still written."""
        if self.is_open:
            self._write(TERMINATE)
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once; a request under way fails with ``reason``."""
        self._reason = self._reason or reason
        self._transport.abort()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports have no such base

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self.is_in_transaction = False
        reason = self._reason or (str(exc) if exc else "the server closed the connection")
        body = self._exchange.body if self._exchange is not None else None
        while (exchange := self._exchange) is not None:
            self._exchange = self._behind.popleft() if self._behind else None
            if not exchange.waiter.done():
                exchange.waiter.set_exception(last_word(exchange, reason))
        self._writable.set()
        if self._at_rest is not None:
            self._at_rest.set()
        if self.on_lost is not None:
            self.on_lost(self, reason)
        if body is not None:
            body.fail(ConnectionLost(reason))

    def data_received(self, data: bytes) -> None:
        at = 0
        if self._reader.is_between:
            ceiling = self._max_result_bytes
            while (exchange := self._exchange) is not None and exchange.is_usual:
                # nothing of it came yet, or all that came of it had to be looked at
                found = None if exchange.results or exchange.rows else read_single_row(data, at)
                if found is None or (ceiling is not None and found[1] - at > ceiling):
                    break
                row, at, tag = found
                self._advance(exchange)
                if not exchange.waiter.done():
                    columns = exchange.steps[1].columns or ()
                    rows = [] if row is None else [row]
                    exchange.waiter.set_result([_SETTINGS_APPLIED, Rows(columns, rows, tag)])
                if at == len(data):
                    return
        if at:
            data = data[at:]
        try:
            self._reader.feed(data)
        except (ProtocolViolation, ValueError, IndexError, struct.error) as error:
            self.abort(f"the server's answer cannot be read: {error}")

    def _advance(self, exchange: Exchange) -> None:
        """Note that ``exchange`` is over and how long it took; the next one is at the head."""
        now = monotonic_seconds()
        if key := exchange.key:
            seconds = now - exchange.began_at
            self.costs[key] = seconds + _INERTIA * (self.costs.get(key, seconds) - seconds)
        if self._behind:
            self._exchange = self._behind.popleft()
            self._exchange.began_at = now
        else:
            self._exchange = None
            if self._at_rest is not None:
                self._at_rest.set()
                self._at_rest = None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # what the server says

    def _receive(self, kind: int, data: bytes, start: int, stop: int) -> None:
        act = self._acts.get(kind)
        if act is not None:
            act(data, start, stop)
        elif kind not in _IGNORED:
            raise ProtocolViolation(f"a message of kind {chr(kind)!r}")

    def _on_row(self, data: bytes, start: int, stop: int) -> None:
        exchange = self._exchange
        if exchange is None or exchange.waiter.done():
            _refuse_another(exchange)
            return
        if self._max_result_bytes is not None:
            exchange.row_bytes += stop - start
            if exchange.row_bytes > self._max_result_bytes:
                exchange.rows.clear()
                exchange.waiter.set_exception(ResultTooLarge(self._max_result_bytes))
                return
        exchange.rows.append(read_row(data, start))

    def _offer(self, kind: int, size: int) -> Sink | None:
        """Say where a large message goes as it comes; None has it gathered."""
        exchange = self._exchange
        if exchange is None or kind != DATA_ROW:
            return None
        if exchange.waiter.done():
            _refuse_another(exchange)
            return _drop
        if exchange.key:
            self.costs[exchange.key] = _NOT_SHORT_SECONDS
            exchange.key = ""
        if self._max_result_bytes is not None and exchange.row_bytes + size > self._max_result_bytes:
            exchange.rows.clear()
            exchange.waiter.set_exception(ResultTooLarge(self._max_result_bytes))
            return _drop
        # at the pace of a client only where nobody else waits for this connection
        if not exchange.expects_body or exchange.rows or self._behind or self.load > 1:
            return None
        return RowInPieces(size, partial(self._open_body, exchange), partial(self._on_whole_row, size))

    def _open_body(self, exchange: Exchange, row: Row, size: int) -> ValueStream:
        """Answer the request with all of its row but the last value, and with that as it comes."""
        body = ValueStream(size, self._set_reading, self.spools)
        if exchange.waiter.done():
            body.close()
            return body
        exchange.body = body
        self.is_shared = False
        columns = exchange.steps[len(exchange.results)].columns or ()
        exchange.waiter.set_result([*exchange.results, Rows(columns, [row], "", body)])
        return body

    def _on_whole_row(self, size: int, data: bytes) -> None:
        self._on_row(data, 0, size)

    def _set_reading(self, wanted: bool) -> None:
        """Read on, or leave what the server sends where it is."""
        if not self.is_open:
            return
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _on_complete(self, data: bytes, start: int, stop: int) -> None:
        exchange = self._exchange
        if exchange is None or exchange.is_cleaning:
            return
        columns = exchange.steps[len(exchange.results)].columns or ()
        exchange.results.append(Rows(columns, exchange.rows, data[start : stop - 1].decode()))
        exchange.rows = []

    def _on_parsed(self, data: bytes, start: int, stop: int) -> None:  # noqa: ARG002 every message looks the same
        if (exchange := self._exchange) is not None:
            exchange.steps[len(exchange.results)].is_parsed = True

    def _on_columns(self, data: bytes, start: int, stop: int) -> None:
        if (exchange := self._exchange) is not None:
            columns = read_columns(data, start) if stop > start else ()
            exchange.steps[len(exchange.results)].columns = columns

    def _on_error(self, data: bytes, start: int, stop: int) -> None:  # noqa: ARG002 every message looks the same
        error = PostgresError(read_fields(data, start))
        if error.is_fatal:
            self._reason = self._reason or str(error)
        exchange = self._exchange
        if exchange is not None and exchange.error is None:
            place = len(exchange.results) - exchange.first
            error.statement = place if 0 <= place < exchange.asked else None
            exchange.error = error

    def _on_notice(self, data: bytes, start: int, stop: int) -> None:  # noqa: ARG002 every message looks the same
        if self.on_notice is not None:
            fields = read_fields(data, start)
            self.on_notice(Notice(fields.get("V", ""), fields.get("C", ""), fields.get("M", "")))

    def _on_parameter(self, data: bytes, start: int, stop: int) -> None:  # noqa: ARG002 every message looks the same
        name, value = read_parameter(data, start)
        self.parameters[name] = value

    def _on_ready(self, data: bytes, start: int, stop: int) -> None:  # noqa: ARG002 every message looks the same
        exchange = self._exchange
        if exchange is None:
            raise ProtocolViolation("an answer to nothing")
        state = data[start]
        self.is_in_transaction = state != _IDLE
        if state != _IDLE and not (state == _OPEN and exchange.stays_open):  # it failed or was left: end it
            if exchange.is_cleaning:
                raise ProtocolViolation("ROLLBACK did not end the transaction")
            exchange.is_cleaning = True
            self._write(ROLLBACK)
            return
        self._advance(exchange)
        if exchange.fresh:
            self._statements.keep(exchange.fresh)
        if not exchange.waiter.done():
            if exchange.error is None:
                exchange.waiter.set_result(exchange.results)
            else:
                exchange.waiter.set_exception(exchange.error)
        elif exchange.body is not None:
            _end_body(exchange.body, exchange.error)


def _drop(piece: bytes) -> None:
    """Take what nobody waits for any more."""


def _refuse_another(exchange: Exchange | None) -> None:
    """Break an answer off that is not all there is: another row comes after the one that is handed out."""
    if exchange is not None and exchange.body is not None:
        exchange.body.fail(NotTheOnlyRow("the statement gave a second row"))


def _end_body(body: ValueStream, error: PostgresError | None) -> None:
    """Say how the transaction ended that the only row of ``body`` belongs to.

    The row is sent at the pace of the client, so the time limit of the statement may pass meanwhile. The
    server notices after the row, which was whole and right before.
    """
    if error is None or (error.sqlstate == QUERY_CANCELED and body.is_received):
        body.finish()
    else:
        body.fail(error)
