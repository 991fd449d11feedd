"""Clients that leave before their answer is there: what they asked for is cancelled.

    with departures.watch(receive):
        answer = await source.run_batch(...)

Nearly every request is answered before it would pay to look, so those that
wait are only written down. Whoever is seen waiting at two looks gets a
task that listens for the end of the connection. When it comes, the request's
task is cancelled, and whatever it waits for hears of it: the pool cancels the
statement on the server.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from msgspec import Struct

from monohull.kernel.errors import ClientGone, Problem

if TYPE_CHECKING:
    from types import TracebackType

    from monohull.kernel.asgi import Receive

PATIENCE_SECONDS: Final = 0.25
"""How often is looked who has been waiting since the look before."""


class Staying(Protocol):
    """A request that waits.

    Attributes:
        looks: How often had been looked when it began to.
    """

    looks: int

    def listen(self) -> None:
        """Begin to listen for the end of the connection, once."""
        ...


class Departures:
    """The requests of one process that wait, and who listens for their clients.

    Attributes:
        staying: Those that wait, in the order in which they began.
        looks: How often was looked after them.
        timer: The next time, while anybody waits.
    """

    def __init__(self) -> None:
        self.staying: dict[Staying, None] = {}
        self.looks = 0
        self.timer: asyncio.TimerHandle | None = None

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The one loop of the process; to ask for the running one is a system call in Python 3.11."""
        return asyncio.get_running_loop()

    def watch(self, receive: Receive) -> Stay:
        """Cancel the running task inside the block when its client goes away; nobody else may ``receive``.

        Raises:
            ClientGone: 499, at the end of the block; nobody will read it but the log.
        """
        return Stay(self, receive, asyncio.current_task(self.loop))

    def begin(self, staying: Staying) -> None:
        """Look after somebody who waits, until `end`."""
        self.staying[staying] = None
        staying.looks = self.looks
        if self.timer is None:
            self.look_later()

    def end(self, staying: Staying) -> None:
        """Look after them no more."""
        del self.staying[staying]

    def look_later(self) -> None:
        """See to it that somebody looks after those who stay."""
        if self.timer is None:
            self.timer = self.loop.call_later(PATIENCE_SECONDS, self._look)

    def _look(self) -> None:
        """Listen for the clients of those who were there at the last look: the oldest, so the first."""
        self.timer = None
        for stay in self.staying:
            if stay.looks == self.looks:
                break
            stay.listen()
        self.looks += 1
        if self.staying:
            self.look_later()


class Stay(Struct, eq=False):
    """One request that waits, from the beginning of the block to its end."""

    _departures: Departures
    _receive: Receive
    _task: asyncio.Task[Any] | None
    looks: int = 0
    _listener: asyncio.Task[None] | None = None
    _has_left: bool = False

    def __enter__(self) -> Self:
        # what `Departures.begin` does, which would take as long again: nearly every request comes here
        departures = self._departures
        departures.staying[self] = None
        self.looks = departures.looks
        if departures.timer is None:
            departures.look_later()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._departures.staying[self]
        if self._listener is None:
            return
        self._listener.cancel()
        if self._has_left and self._task is not None and self._task.uncancel() == 0:
            raise gone() from error

    def listen(self) -> None:
        """Begin to listen for the end of the connection, once."""
        if self._listener is None:
            self._listener = self._departures.loop.create_task(self._listen())

    async def _listen(self) -> None:
        if await until_gone(self._receive):
            self._has_left = True
            if self._task is not None:
                self._task.cancel()


def gone() -> ClientGone:
    """Return what a request ends with whose client has left."""
    return ClientGone("The client closed the connection before the answer was there.")


async def until_gone(receive: Receive) -> bool:
    """Wait until the client has gone; return False where it sends what it may not, which is no departure."""
    with suppress(Problem):
        while (await receive())["type"] != "http.disconnect":
            pass
        return True
    return False
