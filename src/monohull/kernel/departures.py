"""Clients that leave before their answer is there: what they asked for is cancelled.

    with departures.watch(receive):
        answer = await source.run_batch(...)

Nearly every request is answered before it would pay to look, so those that
wait are only written down. Whoever has waited for `PATIENCE_SECONDS` gets a
task that listens for the end of the connection. When it comes, the request's
task is cancelled, and whatever it waits for hears of it: the pool cancels the
statement on the server.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import ClientGone, Problem

if TYPE_CHECKING:
    from types import TracebackType

    from monohull.kernel.asgi import Receive

PATIENCE_SECONDS: Final = 0.25
"""How long a request may wait unwatched, and how often is looked who has waited so long."""


class Departures:
    """The requests of one process that wait, and who listens for their clients."""

    def __init__(self) -> None:
        self._staying: dict[Stay, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, receive: Receive) -> Stay:
        """Cancel the running task inside the block when its client goes away; nobody else may ``receive``.

        Raises:
            ClientGone: 499, at the end of the block; nobody will read it but the log.
        """
        return Stay(self, receive)

    def enter(self, stay: Stay) -> None:
        self._staying[stay] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._look)

    def leave(self, stay: Stay) -> None:
        del self._staying[stay]

    def _look(self) -> None:
        """Listen for the clients of those who wait too long; they are the oldest, so the first."""
        self._timer = None
        before = monotonic_seconds() - PATIENCE_SECONDS
        for stay in self._staying:
            if stay.began > before:
                break
            stay.listen()
        if self._staying:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._look)


class Stay:
    """One request that waits, from the beginning of the block to its end."""

    __slots__ = ("_departures", "_has_left", "_listener", "_receive", "_task", "began")

    def __init__(self, departures: Departures, receive: Receive) -> None:
        self._departures = departures
        self._receive = receive
        self._listener: asyncio.Task[None] | None = None
        self._has_left = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self.began = monotonic_seconds()
        self._departures.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._departures.leave(self)
        if self._listener is None:
            return
        self._listener.cancel()
        if self._has_left and self._task is not None and self._task.uncancel() == 0:
            raise ClientGone("The client closed the connection before the answer was there.") from error

    def listen(self) -> None:
        """Begin to listen for the end of the connection, once."""
        if self._listener is None:
            self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        with suppress(Problem):  # a body that is longer than it may be is no departure
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self._has_left = True
            if self._task is not None:
                self._task.cancel()
