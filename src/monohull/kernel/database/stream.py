"""The large last value of a row, handed out while it still comes.

The server sends at the pace at which the client takes, so that a document of any
size costs a few megabytes of memory. For a moment only: a connection that waits
for a slow client is lost to all others, and its transaction holds locks that a
migration waits for. What such a client has not taken by then goes to a file, at
the pace of the disk, and the connection is free.

The last piece is held back until the transaction has ended well. Whoever hands
pieces on has announced their size; a client that gets fewer knows that it does
not have the whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from monohull.kernel.database.frames import Row, read_row_head
from monohull.kernel.database.spool import SpoolFull, Spools
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from monohull.kernel.database.spool import Spool

READ_AHEAD_BYTES: Final = 4 * 1024 * 1024
"""So much is kept for a client before the server has to wait; answers of this size never make it wait."""

PIECE_BYTES: Final = 256 * 1024
"""About the size of what is handed out at a time."""

SPOOLED_AT_ONCE_BYTES: Final = 1024 * 1024

HOLD_SECONDS: Final = 3.0
"""So long a client may keep a connection busy; most take 100 MB in less."""

HURRY_SECONDS: Final = 0.25
"""The same while others wait for a connection."""

GRACE_SECONDS: Final = 30.0
SLOWEST_BYTES_PER_SECOND: Final = 32 * 1024
"""A client that takes less, after the grace, is broken off: others need the room on disk."""

HEAD_BYTES: Final = 64 * 1024
"""Where the other values of a row are larger, it is gathered."""


class AnswerBrokenOff(Problem):
    """The rest of an answer could not be handed out. Only the log says so: the status is out already."""

    code = "answer_broken_off"
    status = 503
    hint = "Ask again. A client that is slow asks for fewer rows at a time."


class TakenTooSlowly(Exception):
    """The client did not take its answer in time."""


class NotTheOnlyRow(Exception):
    """There is another row beside the one that is handed out, which so is not the whole answer."""


class ValueStream:
    """A value of ``size`` bytes, in pieces: iterate over it once, and `close` it whatever happens.

    Args:
        size: In bytes; also ``len()``.
        read: Has the server's messages read, or left where they are.
        spools: Where the rest goes when the client is slow.

    Attributes:
        deadline: When the client has to have it all, by the loop's clock.
        error: Why there is no rest, or None.
        is_over: The connection is no longer needed.
    """

    def __init__(self, size: int, read: Callable[[bool], None], spools: Spools) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._size = size
        self._read = read
        self._spools = spools
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._received = 0
        self._given = 0
        self._is_reading = True
        self._is_finished = False
        self._is_closed = False
        self._changed = asyncio.Event()
        self._spool: Spool | None = None
        self._spooling: asyncio.Task[None] | None = None
        self._spooled = 0
        self._unspooled = 0
        self._is_writing = False
        self._on_over: Callable[[], None] | None = None
        self.error: Exception | None = None
        self.is_over = False
        self.deadline = loop.time() + GRACE_SECONDS + size / SLOWEST_BYTES_PER_SECOND
        self._timers = (
            loop.call_later(HOLD_SECONDS, self._stop_holding),
            loop.call_at(self.deadline, self.fail, TakenTooSlowly("the client is too slow")),
        )
        self._looking = loop.call_later(HURRY_SECONDS, self._look_around)

    def __len__(self) -> int:
        return self._size

    @property
    def is_received(self) -> bool:
        """Whether all of it has come."""
        return self._received == self._size

    @property
    def given(self) -> int:
        """Bytes that were handed out."""
        return self._given

    def when_over(self, call: Callable[[], None]) -> None:
        """Have ``call`` called as soon as the connection is no longer needed; now, if that is so already."""
        if self.is_over:
            call()
        else:
            self._on_over = call

    # what the connection says

    def feed(self, piece: bytes) -> None:
        """Take what has come."""
        self._received += len(piece)
        if self.is_over or not piece:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        self._set_pace()
        self._changed.set()

    def finish(self) -> None:
        """Note that the transaction ended well: what is left may be handed out."""
        if not self.is_over:
            self._is_finished = True
            self._let_go()

    def fail(self, error: Exception) -> None:
        """Hand out no more; whoever iterates is told."""
        if self.error is None and not self._is_closed:
            self.error = error
            self._drop()

    # what whoever hands it on does

    def close(self) -> None:
        """Want no more; the iteration ends. The server is stopped if it is not done."""
        if not self._is_closed:
            self._is_closed = True
            self._drop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Wait for the next piece.

        Raises:
            AnswerBrokenOff: There is no rest.
        """
        while self.error is None and not self._is_closed:
            piece = await self._take()
            if piece:
                self._given += len(piece)
                return piece
            if self._given == self._size and self._is_finished:
                self.close()
            elif piece is None:
                await self._change()
        if self.error is not None:
            raise AnswerBrokenOff(
                f"An answer was broken off after {self._given} of {self._size} bytes: {self.error}."
            ) from self.error
        raise StopAsyncIteration

    async def _take(self) -> bytes | None:
        """Return the next piece, or None when it is not there yet; nothing when it never will be."""
        if self.is_received and not self._is_finished:
            return None
        if self._spool is not None and self._unspooled < self._spooled:
            return await self._unspool(self._spool)
        return None if self._is_writing or not self._pieces else self._pop(PIECE_BYTES)

    async def _unspool(self, spool: Spool) -> bytes:
        wanted = min(PIECE_BYTES, self._spooled - self._unspooled)
        try:
            piece = await self._loop.run_in_executor(None, spool.read, self._unspooled, wanted)
        except (OSError, ValueError) as error:  # the latter: closed meanwhile
            self.fail(error)
            return b""
        self._unspooled += len(piece)
        return piece

    def _pop(self, least: int) -> bytes:
        """Take ``least`` bytes out of memory, or somewhat more, or all there is."""
        taken: list[bytes] = []
        size = 0
        while self._pieces and size < least:
            piece = self._pieces.popleft()
            taken.append(piece)
            size += len(piece)
        self._held -= size
        self._set_pace()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _set_pace(self) -> None:
        """Have the server wait where much is kept; never once all has come, for the end follows then."""
        if self._is_reading and self._held > READ_AHEAD_BYTES and not self.is_received:
            self._is_reading = False
            self._read(False)
        elif not self._is_reading and (self._held < READ_AHEAD_BYTES // 2 or self.is_received):
            self._read_on()

    def _read_on(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._read(True)

    def _let_go(self) -> None:
        """Need the connection no longer."""
        if not self.is_over:
            self.is_over = True
            self._read_on()
            if self._on_over is not None:
                self._on_over()
        self._changed.set()

    def _drop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._looking.cancel()
        if self._spooling is not None:
            self._spooling.cancel()
        if self._spool is not None:
            self._spool.close()
        self._pieces.clear()
        self._held = 0
        self._let_go()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # a slow client

    def _look_around(self) -> None:
        """Stop holding the connection as soon as somebody else waits for one."""
        if self._spools.is_hurried():
            self._stop_holding()
        elif not self.is_over and self._spooling is None:
            self._looking = self._loop.call_later(HURRY_SECONDS, self._look_around)

    def _stop_holding(self) -> None:
        if not self.is_over and self._spooling is None:
            self._spooling = self._loop.create_task(self._spool_rest())

    async def _spool_rest(self) -> None:
        """Move what comes to a file until all has come; the last of it stays in memory."""
        try:
            self._spool = spool = self._spools.reserve(self._size - self._given)
            while not self.is_received or self._held >= SPOOLED_AT_ONCE_BYTES:
                if self._held < SPOOLED_AT_ONCE_BYTES:
                    await self._change()
                    continue
                self._is_writing = True
                block = self._pop(self._held)
                await self._loop.run_in_executor(None, spool.write, block)
                self._is_writing = False
                self._spooled += len(block)
                self._changed.set()
        except (OSError, ValueError, SpoolFull) as error:
            self.fail(TakenTooSlowly(f"the client is slow and there is no room on disk: {error}"))


class RowInPieces:
    """Takes a large row as it comes, and opens a stream once all but its last value is there.

    A row whose last value is not the large one is gathered.

    Args:
        size: Of the row, in bytes.
        open_stream: Is given the other values and the size of the last one.
        receive: Is given the row if it is gathered.
    """

    def __init__(
        self, size: int, open_stream: Callable[[Row, int], ValueStream], receive: Callable[[bytes], None]
    ) -> None:
        self._size = size
        self._open_stream = open_stream
        self._receive = receive
        self._pieces: list[bytes] = []
        self._have = 0
        self._is_gathered = False
        self._stream: ValueStream | None = None

    def __call__(self, piece: bytes) -> None:
        if self._stream is not None:
            self._stream.feed(piece)
            return
        self._pieces.append(piece)
        self._have += len(piece)
        if not self._is_gathered:
            self._begin(b"".join(self._pieces))
        if self._is_gathered and self._have == self._size:
            self._receive(b"".join(self._pieces))

    def _begin(self, data: bytes) -> None:
        found = read_row_head(data)
        if found is None:
            self._is_gathered = len(data) >= HEAD_BYTES
            return
        row, at = found
        if int.from_bytes(data[at - 4 : at], "big", signed=True) != self._size - at or at > HEAD_BYTES:
            self._is_gathered = True
            return
        self._pieces.clear()
        self._stream = self._open_stream(row, self._size - at)
        self._stream.feed(data[at:])
