"""Known statements whose answers no task waits for: what comes from the database goes out at once.

A server that knows no more than ASGI runs each request as a task, which waits
for the database and is woken a turn of the loop after it was heard of. That
takes as long as all that is done for a known request otherwise. So where the
server takes whole answers (`monohull.kernel.asgi.Direct`) there is an `Asking`
in its place: `hear` is called with what the database said, in the midst of
reading it, and writes the answer. Whatever is not usual goes on as a task.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from modules.query import DataSource, guarded
from modules.rest.known import around_value, only_value, take_apart
from modules.rest.sending import send_answer
from monohull.kernel.database.asked import Asked
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.statements import Statement
from monohull.kernel.departures import gone, until_gone
from monohull.kernel.exchange import failed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from modules.rest.apart import Values
    from modules.rest.cache.serving import ResponseCache
    from modules.rest.known import Lane
    from modules.rest.known_write import WriteLane
    from modules.rest.response import Answer
    from monohull.kernel.asgi import Receive, Scope, Send, Work
    from monohull.kernel.database.statements import Rows
    from monohull.kernel.departures import Departures
    from monohull.kernel.errors import Problem
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.principal import Principal
    from monohull.kernel.repeat import Asker, Found


class DirectSource(DataSource, Protocol):
    """Runs statements, and can be asked one without anybody waiting; `DataPool` can."""

    def ask_known(self, asked: Asked) -> bool:
        """Send a known statement, which hears what comes of it; False where somebody has to wait."""
        ...


class Serves(Protocol):
    """What this needs of the data API; `DataApi` has it."""

    departures: Departures
    source: DirectSource

    @property
    def cache(self) -> ResponseCache: ...

    @property
    def is_timed(self) -> bool: ...

    def holds(self, lane: Lane) -> bool: ...

    def holds_write(self, lane: WriteLane) -> bool: ...

    def recall_write(
        self, scope: Scope, raw: bytes, principal: Principal
    ) -> tuple[WriteLane, Values] | None: ...

    def serve_known(self, lane: Lane, given: list[bytes], receive: Receive, send: Send) -> Work: ...

    def serve_known_write(  # noqa: PLR0913, PLR0917 a request has these parts
        self,
        scope: Scope,
        lane: WriteLane,
        values: Values,
        raw: bytes,
        receive: Receive,
        send: Send,
    ) -> Work: ...

    def serve_document(
        self, scope: Scope, principal: Principal, raw: bytes, receive: Receive, send: Send
    ) -> Work: ...

    def refused_read(self, error: PostgresError, lane: Lane) -> Problem: ...

    def refused_write(self, error: PostgresError, scope: Scope, raw: bytes, lane: WriteLane) -> Problem: ...


class Asking(Asked, eq=False):
    """A known statement of a request, on its way; one of those that `Departures` looks after."""

    _api: Serves
    _lane: Any
    _values: Any
    _receive: Any = None
    _asker: Any = None
    looks: int = 0
    _listener: asyncio.Task[None] | None = None

    def begin(self, asker: Asker, receive: Receive) -> None:
        """Send the statement, now or as a task."""
        try:
            if self.is_sent(self._api.source, asker, receive):
                return
            work = self._anew()
        except Exception as problem:  # noqa: BLE001 the edge tells refusals from defects
            work = failed(problem)
        asker.go_on(work)

    def is_sent(self, source: DirectSource, asker: Asker, receive: Receive) -> bool:
        """Send the statement; False where somebody has to wait for a connection, or for anything else.

        Raises:
            InvalidRequest: A value is no text.
        """
        self._asker, self._receive = asker, receive
        lane = self._lane
        known = lane.known
        self.statement = Statement(known.compiled.statement.text, known.args.fill(self._values), lane.key)
        self.settings = lane.settings
        if not source.ask_known(self):
            return False
        self._api.departures.begin(self)
        return True

    def hear(self, rows: Rows | None, error: Exception | None) -> None:
        """Answer with what the database said; neither rows nor an error has it asked anew."""
        self._api.departures.end(self)
        if self._listener is not None:
            self._listener.cancel()
        if rows is not None:
            try:
                lines = self._lines(rows)
                if lines is not None:
                    self._asker.answer(*lines)
                    return
            except Exception as problem:  # noqa: BLE001 the edge tells refusals from defects
                error = problem
        is_new = rows is None and error is None
        self._asker.go_on(self._anew() if is_new else self._go_on(rows, error))

    def listen(self) -> None:
        """Begin to listen for the end of the client's connection, once."""
        if self._listener is None:
            self._listener = self._api.departures.loop.create_task(self._listen())

    async def _listen(self) -> None:
        if await until_gone(self._receive) and self.cancel():
            self._api.departures.end(self)
            self._asker.go_on(self._go_on(None, gone()))

    async def _go_on(self, rows: Rows | None, error: Exception | None) -> None:
        """Say what is wrong, or send an answer that is unusual, or still comes."""
        if isinstance(error, PostgresError):
            raise self._refusal(error) from error
        if error is not None:
            raise error
        assert rows is not None
        await send_answer(self._receive, self._asker.send, self._answer(rows))

    @abstractmethod
    def _lines(self, rows: Rows) -> tuple[int, bytes, bytes] | None:
        """Return status, header lines and body; None where `_answer` is the way."""

    @abstractmethod
    def _answer(self, rows: Rows) -> Answer:
        """Return the answer around what the database gave."""

    @abstractmethod
    def _refusal(self, error: PostgresError) -> Problem:
        """Return what the database's refusal means."""

    @abstractmethod
    def _anew(self) -> Work:
        """Return what asks once more, as a task."""


class AskingRead(Asking, eq=False):
    """A known read."""

    def _lines(self, rows: Rows) -> tuple[int, bytes, bytes] | None:
        lane: Lane = self._lane
        return lane.known.answer_lines(self._values, rows)

    def _answer(self, rows: Rows) -> Answer:
        lane: Lane = self._lane
        return lane.known.answer(self._values, rows)

    def _refusal(self, error: PostgresError) -> Problem:
        lane: Lane = self._lane
        return self._api.refused_read(error, lane)

    def _anew(self) -> Work:
        return self._api.serve_known(self._lane, self._values, self._receive, self._asker.send)


class RepeatedReads(Struct, eq=False):
    """What the data API does about the queries of requests that are known but for these."""

    _api: Serves
    _path: bytes
    _headers: HeaderSet
    _principal: Principal
    _admits: Callable[[], bool]
    _last: tuple[bytes, bytes, Lane | None] = (b"", b"", None)

    def find(self, query: bytes) -> Found:
        """Return a cached answer, or what has to be asked; see `monohull.kernel.repeat.Found`."""
        api = self._api
        before, after, lane = self._last
        given = None if lane is None else only_value(before, query, after)
        if given is None or lane is None or not api.holds(lane):
            pieces, given = take_apart(self._path, query)
            lane = self._headers.notes.get(pieces)
            if lane is None or lane.principal is not self._principal or not api.holds(lane):
                return True
            around = around_value(pieces)
            if around is not None:
                self._last = (*around, lane)
        if lane.way is None:
            return AskingRead(api, lane, given) if self._admits() else False
        return api.cache.find_lines(lane.way, given, self._admits) or False


class RepeatedWrites(Struct, eq=False):
    """What the data API does about the bodies of requests that are known but for these.

    ``length`` is that of the body, which the head says.
    """

    _api: Serves
    _scope: Scope
    _principal: Principal
    _length: int
    _admits: Callable[[], bool]
    _last: WriteLane | None = None

    def find(self, raw: bytes) -> Found:
        """Return what has to be asked; see `monohull.kernel.repeat.Found`.

        Raises:
            RelationClosed, ScopeMissing, InvalidRequest: It is refused.
        """
        if len(raw) != self._length:
            return False
        api, scope, last = self._api, self._scope, self._last
        if last is not None:
            if not api.holds_write(last):
                self._last = None
            elif (taken := last.take_apart(raw)) is not None:
                return AskingWrite(api, *taken, scope=scope, raw=raw) if self._admits() else False
        if api.is_timed:
            return True
        recalled = api.recall_write(scope, raw, self._principal)
        if recalled is None:
            return False
        self._last = lane = recalled[0]
        lane, values = lane.take_apart(raw) or recalled
        return AskingWrite(api, lane, values, scope=scope, raw=raw) if self._admits() else False


class AskingWrite(Asking, eq=False):
    """A known write.

    Attributes:
        scope: Of the request.
        raw: Its body as it came.
    """

    scope: Any = None
    raw: bytes = b""

    def _lines(self, rows: Rows) -> tuple[int, bytes, bytes] | None:
        lane: WriteLane = self._lane
        return lane.known.answer_lines(rows)

    def _answer(self, rows: Rows) -> Answer:
        lane: WriteLane = self._lane
        return lane.known.answer(rows)

    async def _go_on(self, rows: Rows | None, error: Exception | None) -> None:
        lane: WriteLane = self._lane
        if isinstance(error, PostgresError) and lane.asks_anew(error):
            await self._api.serve_document(
                self.scope, lane.principal, self.raw, self._receive, self._asker.send
            )
            return
        await super()._go_on(rows, error)

    def _refusal(self, error: PostgresError) -> Problem:
        lane: WriteLane = self._lane
        return guarded(error) or self._api.refused_write(error, self.scope, self.raw, lane)

    def _anew(self) -> Work:
        return self._api.serve_known_write(
            self.scope, self._lane, self._values, self.raw, self._receive, self._asker.send
        )
