"""One request and its answer, as the application sees them: what ``receive`` and ``send`` are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from monohull.kernel.errors import ClientGone
from monohull.kernel.server.answers import LAST_CHUNK, Framing, chunk, frame, whole_head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from monohull.kernel.asgi import Again, Message, Work

HOLD_BYTES: Final = 256 * 1024
"""Of a body that nobody takes; the rest waits at the client."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Done:
    """What is over already: to await it costs no turn of the loop."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return iter(())  # type: ignore[return-value]


DONE: Final = _Done()


class Channel(Protocol):
    """What a turn needs of its connection."""

    loop: asyncio.AbstractEventLoop

    def resume(self) -> None:
        """Read on, if that was stopped."""
        ...

    def write(self, data: bytes) -> None:
        """Write."""
        ...

    def write_both(self, head: bytes, body: bytes) -> None:
        """Write two pieces, small ones together."""
        ...

    def drained(self) -> Awaitable[None]:
        """Wait until the client has taken most of what was written."""
        ...

    def finish(self, *, keeps: bool) -> None:
        """Note that the answer is complete."""
        ...

    def work_on(self, turn: Turn, work: Work) -> None:
        """Have ``work`` answer, as a task."""
        ...

    client: tuple[str, int] | None
    is_repeatable: bool

    def remember(self, again: Again) -> None:
        """Have ``again`` asked when a request like this one comes again."""
        ...


class Turn(Struct, eq=False):
    """A request on a connection, from its head to the end of its answer.

    A structure, for making one takes half of the time that an ordinary class takes.

    Attributes:
        is_whole: All of the body has come.
        is_gone: The client has gone.
        is_over: The answer is complete, or will never be.
    """

    _connection: Channel
    _is_head: bool
    _is_newer: bool
    _keeps: bool
    _expects: bool
    pending: bytes | bytearray
    is_whole: bool
    is_gone: bool = False
    is_over: bool = False
    _is_told: bool = False
    _status: int = 0
    _headers: Any = ()
    _framing: Framing | None = None
    _waiter: asyncio.Future[None] | None = None

    @property
    def has_started(self) -> bool:
        """Whether anything of the answer was written."""
        return self._framing is not None

    async def receive(self) -> Message:
        """Return the next part of the body, then wait for the client to go, or for the end of the answer."""
        while not (self.is_gone or self.is_over):
            if not self._is_told and (self.pending or self.is_whole):
                body, self.pending = self.pending, b""
                self._is_told = self.is_whole
                self._connection.resume()
                return {"type": "http.request", "body": bytes(body), "more_body": not self.is_whole}
            if self._expects and self._framing is None and not self._is_told:
                self._expects = False
                self._connection.write(CONTINUE)
            if self._waiter is None:
                self._waiter = self._connection.loop.create_future()
            await asyncio.shield(self._waiter)  # whoever gives up leaves it to the others, and to a next time
        return {"type": "http.disconnect"}

    def wake(self) -> None:
        """Have `receive` look again."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def hold(self, data: bytes) -> int:
        """Keep a part of the body until it is asked for; return how much is kept."""
        if not self.pending:
            self.pending = data
        else:
            if isinstance(self.pending, bytes):
                self.pending = bytearray(self.pending)
            self.pending += data
        self.wake()
        return len(self.pending)

    def send(self, message: Message) -> Awaitable[None]:
        """Write a part of the answer.

        Raises:
            ClientGone: There is nobody to read it, and more was to come.
            RuntimeError: It is out of turn.
            ValueError: A header holds a line feed, or the body has another length than was announced.
        """
        if self.is_gone and self.is_over:  # what came was no request, and that was said already
            return DONE
        kind = message["type"]
        if kind == "http.response.start":
            if self._status:
                raise RuntimeError("an answer begins once")
            self._status = message["status"]
            self._headers = message.get("headers", ())
            return DONE
        if kind != "http.response.body" or not self._status or self.is_over:
            raise RuntimeError(f"{kind} is out of turn")
        return self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))

    def take_body(self) -> bytes | None:
        """Return the whole body if all of it is there; then `receive` tells of the client's leaving alone."""
        if not self.is_whole or self._is_told:
            return None
        body, self.pending = self.pending, b""
        self._is_told = True
        return bytes(body)

    @property
    def client(self) -> tuple[str, int] | None:
        """Address and port of the client."""
        return self._connection.client

    @property
    def may_repeat(self) -> bool:
        """Whether `remember` would be of use."""
        return self._connection.is_repeatable and self._keeps

    def remember(self, again: Again) -> None:
        """Have ``again`` asked when the same request comes from the same client with another part."""
        self._connection.remember(again)

    def answer(self, status: int, lines: bytes, body: bytes, *, keeps: bool = True) -> None:
        """Write a whole answer.

        Raises:
            RuntimeError: Another one was begun.
        """
        if self.is_gone and self.is_over:
            return
        if self._status:
            raise RuntimeError("an answer begins once")
        self._status, self.is_over = status, True
        keeps = keeps and self._keeps and self.is_whole
        connection = self._connection
        if not self.is_gone:
            head = whole_head(status, lines, len(body), keeps=keeps, is_newer=self._is_newer)
            connection.write_both(head, b"" if self._is_head else body)
        connection.finish(keeps=keeps)
        if self._waiter is not None:
            self.wake()

    def go_on(self, work: Work) -> None:
        """Have ``work`` answer after all, as a task."""
        self._connection.work_on(self, work)

    def _send_body(self, body: bytes, *, is_last: bool) -> Awaitable[None]:
        framing, head = self._framing, b""
        if framing is None:
            framing = self._frame(len(body) if is_last else None)
            head = framing.head
        if framing.is_bare:
            body = b""
        elif framing.left is not None:
            framing.left -= len(body)
            if framing.left < 0 or (is_last and framing.left):
                raise ValueError("the body of the answer has another length than its header says")
        elif framing.is_chunked:
            body = (chunk(body) if body else b"") + (LAST_CHUNK if is_last else b"")
        connection = self._connection
        if not self.is_gone:
            connection.write_both(head, body)
        elif not is_last:
            raise ClientGone("The client closed the connection before the answer was complete.")
        if is_last:
            self.is_over = True
            connection.finish(keeps=framing.keeps)
            if self._waiter is not None:
                self.wake()
            return DONE
        return connection.drained()

    def _frame(self, whole_bytes: int | None) -> Framing:
        framing = self._framing = frame(
            self._status,
            self._headers,
            whole_bytes=whole_bytes,
            is_head=self._is_head,
            is_newer=self._is_newer,
            # what is left of the body cannot be told from a next request, so that there is none
            keeps=self._keeps and self.is_whole,
        )
        return framing
