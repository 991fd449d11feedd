"""One connection: its requests one after the other, each a call of the ASGI application.

The next request is read when the answer to the one before is complete; what
comes meanwhile waits, a little here and the rest at the client. Whoever says
nothing, or dawdles over a head, is closed by `Connections.sweep`.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import InvalidRequest, Problem, RequestTimeout, render_problem
from monohull.kernel.server.answers import whole, whole_head
from monohull.kernel.server.chunks import Chunks
from monohull.kernel.server.heads import MAX_HEAD_BYTES, HeadTooLarge, KnownLines, Lines, Target
from monohull.kernel.server.repeats import Repeats
from monohull.kernel.server.turn import DONE, HOLD_BYTES, Turn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from monohull.kernel.asgi import Again, ASGIApp, Direct, Scope, Work
    from monohull.kernel.errors import Rendered
    from monohull.kernel.server.repeats import Key

    Begin = Callable[[Scope, Direct], Work | None]
    Refused = Callable[[Problem], tuple[Rendered, Sequence[tuple[bytes, bytes]]]]

HEAD_SECONDS: Final = 30.0
"""For the head of a request; the same for a connection that waits for its next one."""
PARTING_SECONDS: Final = 2.0
"""For a client to read the last answer where not all was read that it sent."""
PARTING_BYTES: Final = 1024 * 1024
"""Of what such a client still sends is read, and no more: to throw away costs as much as to take."""
JOIN_BYTES: Final = 64 * 1024
"""Head and body up to this go out in one piece; a larger body is not copied."""
AHEAD_BYTES: Final = 64 * 1024
"""Of requests that are sent before the answer to the one before."""

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class Connections:
    """All connections of a process.

    Args:
        app: What answers.
        most: How many there may be; one more is closed at once.

    Attributes:
        begin: How the application begins with a request where it can answer without a task; None where it
            cannot. It returns what is left to be awaited.
        refused: Told why what came is no request; returns the answer, and headers that it has besides.
        context: Of which each request has a copy: it may be begun from within the one before.
        repeats: What answers requests without reading them.
        open: Those there are.
        is_stopping: Each ends with the answer that it is at.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self.app = app
        self.begin: Begin | None = getattr(app, "begin", None)
        self.refused: Refused | None = getattr(app, "refused", None)
        self.most = most
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self.known = KnownLines()
        self.repeats = Repeats()
        self.open: set[Connection] = set()
        self.is_stopping = False

    def connect(self) -> Connection:
        """Return what serves a further connection."""
        return Connection(self)

    def sweep(self) -> None:
        """Close whoever has dawdled."""
        now = monotonic_seconds()
        for connection in [one for one in self.open if one.turn is None and one.until < now]:
            connection.expire()

    async def sweep_for_ever(self) -> None:
        """Look once a second."""
        while True:
            await asyncio.sleep(1.0)
            self.sweep()

    def stop(self) -> None:
        """Close those that are at no request, and have the others end with their answer."""
        self.is_stopping = True
        for connection in list(self.open):
            if connection.turn is None:
                connection.close()

    async def closed(self, seconds: float) -> None:
        """Wait until what was written has gone out, and no longer than ``seconds``; then close all."""
        until = monotonic_seconds() + seconds
        while self.open and monotonic_seconds() < until:  # noqa: ASYNC110 each ends in its own way
            await asyncio.sleep(0.01)
        for connection in list(self.open):
            connection.abort()
        await asyncio.sleep(0)  # for the loop to tell them


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        connections: Those of the process.

    Attributes:
        turn: The request that is answered; None between two.
        until: When it is closed if no request has come whole by then.
        client: Address and port of the client.
        is_repeatable: Whether the request at hand may be remembered.
    """

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self.loop = connections.loop
        self.turn: Turn | None = None
        self.until = 0.0
        self._transport: asyncio.Transport
        self.client: tuple[str, int] | None = None
        self._host: str | None = None
        self.is_repeatable = False
        self._key: Key | None = None
        self._server: tuple[str, int | None] | None = None
        self._head = bytearray()
        self._ahead = bytearray()
        self._left = 0
        self._chunks: Chunks | None = None
        self._task: asyncio.Task[None] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._unsent = 0
        self._is_full = False
        self._is_paused = False
        self._is_parting = False
        self._thrown_bytes = 0

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports have no such base
        if len(self._all.open) >= self._all.most or self._all.is_stopping:
            self._transport.abort()
            return
        self._all.open.add(self)
        self.until = monotonic_seconds() + HEAD_SECONDS
        self.client = _address(transport.get_extra_info("peername"))
        self._host = self.client[0] if self.client else None
        self._server = _address(transport.get_extra_info("sockname"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 why does not matter
        self._all.open.discard(self)
        self._leave()
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    def eof_received(self) -> bool:
        self._leave()
        return False

    def _leave(self) -> None:
        if self.turn is not None:
            self.turn.is_gone = True
            self.turn.wake()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(None)
        if self.turn is None:
            self._proceed()

    def data_received(self, data: bytes) -> None:
        if self._is_parting:
            self._thrown_bytes += len(data)
            if self._thrown_bytes > PARTING_BYTES:
                self._pause()
            return
        try:
            if self.turn is not None:
                self._go_on(self.turn, data)
            elif self._ahead or self._is_full:  # what came before comes first
                self._put_ahead(data)
            elif not self._is_repeated(data):
                self._begin(data)
        except Problem as problem:
            self._refuse(problem)
        except BaseException:
            self.abort()  # asyncio does so where it called this itself
            raise

    # requests

    def _is_repeated(self, data: bytes) -> bool:
        """Begin with a request that is known but for a part; False where it has to be read."""
        self.is_repeatable = False
        if self._head or self._all.is_stopping:
            return False
        repeats, key = self._all.repeats, self._key
        part = None if key is None else repeats.find_part(key, data)
        if key is None or part is None:
            parts = repeats.take_apart(self._host, data)
            if parts is None:
                return False
            key, part = parts
            self._key = key
        again = repeats.kept.get(key)
        if again is None:
            self.is_repeatable = True
            return False
        reply = again(part, self)
        if reply is False or reply is True:
            return reply
        status, lines, body = reply
        self.write_both(whole_head(status, lines, len(body), keeps=True, is_newer=True), body)
        self.until = monotonic_seconds() + HEAD_SECONDS
        return True

    def turn_over(self) -> Turn:
        """Begin with a request that is known but for a part."""
        turn = self.turn = Turn(self, False, True, True, False, b"", True)
        return turn

    def forget(self) -> None:
        """Have further requests like the one at hand read, and remembered anew."""
        assert self._key is not None
        self._all.repeats.forget(self._key)
        self.is_repeatable = True

    def remember(self, again: Again) -> None:
        """Have ``again`` asked when a request like the one at hand comes again."""
        if self.is_repeatable and self._key is not None:
            self._all.repeats.remember(self._key, again)

    def _begin(self, data: bytes) -> None:
        """Begin with the request that ``data`` completes the head of, if it does.

        Raises:
            Problem: It is none.
        """
        if self._head:
            searched = max(0, len(self._head) - 3)
            self._head += data
            if self._head.find(b"\r\n\r\n", searched) < 0:
                self._demand_head(searched)
                return
            data = bytes(self._head)
            self._head.clear()
        if data.startswith(b"\r\n") and (empty := _EMPTY_LINES.match(data)):  # some send one after a body
            data = data[empty.end() :]
        stop = data.find(b"\r\n\r\n")
        if stop < 0:
            if data:
                self._head += data
                self._demand_head(0)
            return
        if stop > MAX_HEAD_BYTES:
            raise HeadTooLarge(f"The header has more than {MAX_HEAD_BYTES} bytes.")
        line = data.find(b"\r\n")
        known = self._all.known
        target = known.read_target(data[:line])
        lines = known.read(data[line + 2 : stop + 2])
        if target.is_newer and not lines.has_host:
            raise InvalidRequest("A request of HTTP/1.1 needs the header Host.")
        rest = data[stop + 4 :]
        if self.is_repeatable and (lines.length != len(rest) or not target.is_newer or lines.expects):
            self.is_repeatable = False
        self._start(target, lines, rest)

    def _demand_head(self, searched: int) -> None:
        """Refuse a head that is too large, or that cannot become one: TLS, say, or another line ending."""
        if len(self._head) > MAX_HEAD_BYTES:
            raise HeadTooLarge(f"The header has more than {MAX_HEAD_BYTES} bytes.")
        if not searched and not _BEGINNING.match(self._head):
            raise InvalidRequest(
                "This is no request of HTTP/1.1. There is no TLS here: a proxy in front ends it."
            )
        if _LONE_LINE_FEED.search(self._head, searched):
            raise InvalidRequest("A line of the header ends without a carriage return.")

    def _start(self, target: Target, lines: Lines, rest: bytes) -> None:
        length = lines.length
        if length is None:
            if not target.is_newer:
                raise InvalidRequest("HTTP/1.0 has no Transfer-Encoding.")
            self._chunks = Chunks()
        else:
            self._chunks = None
            self._left = length
        is_whole = length == len(rest)  # nearly always
        keeps = target.is_newer if lines.keeps is None else lines.keeps
        turn = self.turn = Turn(
            self,
            target.method == "HEAD",
            target.is_newer,
            keeps and not self._all.is_stopping,
            lines.expects and target.is_newer,
            rest if is_whole else b"",
            is_whole or length == 0,
        )
        if not is_whole and (rest or length is None):
            self._go_on(turn, rest)
        headers = lines.pairs.copy()  # whatever the application adds is of this request alone
        if target.authority is not None:
            headers = [(name, target.authority if name == b"host" else value) for name, value in headers]
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1" if target.is_newer else "1.0",
            "method": target.method,
            "scheme": "http",
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "root_path": "",
            "headers": headers,
            "client": self.client,
            "server": self._server,
            "extensions": {},
            "state": {},
        }
        begin = self._all.begin
        work = self._all.app(scope, turn.receive, turn.send) if begin is None else begin(scope, turn)
        if work is not None:
            self.work_on(turn, work)

    def work_on(self, turn: Turn, work: Awaitable[None]) -> None:
        """Have ``work`` answer a request, as a task in a context of its own."""
        self._task = self.loop.create_task(self._answer(turn, work), context=self._all.context.copy())

    async def _answer(self, turn: Turn, work: Awaitable[None]) -> None:
        try:
            await work
        finally:
            if self.turn is turn:  # the application failed; what tells the client is an answer without an end
                turn.is_over = True
                self.abort()

    def _go_on(self, turn: Turn, data: bytes) -> None:
        """Take what comes of a request whose head was read, and of those behind it.

        Raises:
            InvalidRequest: 400, the body is not what it should be.
        """
        if not turn.is_whole:
            if self._chunks is not None:
                piece, data = self._chunks.feed(data)
                turn.is_whole = self._chunks.is_complete
            else:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                turn.is_whole = not self._left
            if piece or turn.is_whole:
                held = turn.hold(piece)
                if held > HOLD_BYTES and not turn.is_whole:
                    self._pause()
        if data:
            self._put_ahead(data)

    def _put_ahead(self, data: bytes) -> None:
        """Keep what is for a next request."""
        self._ahead += data
        if len(self._ahead) > AHEAD_BYTES:
            self._pause()

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on, if anybody stopped that."""
        if self._is_paused and len(self._ahead) <= AHEAD_BYTES:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # answers

    def write(self, data: bytes | bytearray) -> None:
        """Write, unless the connection is closing."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def write_both(self, head: bytes, body: bytes) -> None:
        """Write two pieces, small ones together."""
        if len(body) > JOIN_BYTES:
            self.write(head)
            self.write(body)
        elif (head or body) and not self._transport.is_closing():
            self._transport.write(head + body)

    def drained(self) -> Awaitable[None]:
        """Wait until the client has taken most of what was written."""
        if not self._is_full or self._transport.is_closing():
            return DONE
        if self._drain is None:
            self._drain = self.loop.create_future()
        return asyncio.shield(self._drain)

    def finish(self, *, keeps: bool) -> None:
        """Note that the answer is complete."""
        turn, self.turn = self.turn, None
        if turn is None or turn.is_gone:
            self.close()
        elif not keeps or self._all.is_stopping:
            if turn.is_whole and not (self._ahead or self._is_paused):
                self.close()
            else:
                self._part()
        else:
            self.until = monotonic_seconds() + HEAD_SECONDS
            if (self._ahead or self._is_paused) and not self._is_full:
                self._proceed()  # whoever reads no answers gets no further ones

    def _proceed(self) -> None:
        """Go on to the next request."""
        if self._ahead:
            self.loop.call_soon(self._take_next)
        elif self._is_paused:
            self.resume()

    def _take_next(self) -> None:
        """Begin with a request that came before the answer to the one before was complete."""
        if self.turn is not None or self._is_full or self._is_parting or self._transport.is_closing():
            return
        data = bytes(self._ahead)
        self._ahead.clear()
        self.resume()
        self.data_received(data)

    def _part(self) -> None:
        """Close once the client has read: whoever still sends would get a reset, not all of the answer."""
        self._is_parting = True
        self.until = monotonic_seconds() + PARTING_SECONDS
        self._ahead.clear()
        self._is_paused = self._is_paused and self._transport.is_closing()
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if self._transport.can_write_eof():
                with suppress(OSError):  # gone already; asyncio's own loop says so here, uvloop later
                    self._transport.write_eof()

    def _refuse(self, problem: Problem) -> None:
        """Answer what is no request, and close."""
        turn = self.turn
        if turn is not None:  # it is being answered: the application hears that no more of it comes
            self._leave()
            if turn.has_started:
                self.abort()
                return
            turn.is_over = True
            self.turn = None
        refused = self._all.refused
        if turn is None and refused is not None:
            self.write(whole(*refused(problem)))
        else:  # of a request that was begun with the application says itself how it ended
            self.write(whole(render_problem(problem)))
        self._part()

    def expire(self) -> None:
        """Close a connection that is silent for too long, unless its client still takes what was written."""
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._unsent = unsent
            self.until = monotonic_seconds() + HEAD_SECONDS
        elif unsent or self._is_parting or self._transport.is_closing():
            self.abort()
        elif self._head:
            self._refuse(RequestTimeout(f"The header did not come within {HEAD_SECONDS:g} s."))
        else:
            self.close()

    def close(self) -> None:
        """Close; what is buffered is still written."""
        if not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


_BEGINNING: Final = re.compile(rb"[\r!#$%&'*+.^_`|~0-9A-Za-z-]")
_LONE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")


def _address(name: Any) -> tuple[str, int] | None:
    """Return host and port of a socket's name; of a unix socket there are none."""
    return (name[0], name[1]) if isinstance(name, tuple) else None
