"""In which order a process starts and stops, and how it drains.

Resources start in the order they were added and stop in reverse. A stop begins
with a while in which the process serves and sends everybody elsewhere (see
`lame_duck`). Then it drains: new work is refused with 503, work that was accepted is finished, up to
a deadline; only then do the resources go. Granian has stopped accepting by the
time the application hears of the stop; the refusal is for what was in its queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from monohull.kernel.clock import monotonic_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

Resource = Callable[[], AbstractAsyncContextManager[object]]


class Lifecycle:
    """The resources of one process and the work that is going on in it."""

    def __init__(self) -> None:
        self._resources: list[tuple[str, Resource]] = []
        self._in_flight = 0
        self._idle = asyncio.Event()
        self.is_draining = False
        self.is_leaving = False
        self.is_started = False

    @property
    def in_flight(self) -> int:
        """How many pieces of work are going on."""
        return self._in_flight

    def add(self, name: str, resource: Resource) -> None:
        """Register ``resource`` to be entered after the ones before it."""
        self._resources.append((name, resource))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count one piece of work for as long as the block runs."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Count a piece of work; `end` has to follow, whatever becomes of it."""
        self._in_flight += 1

    def end(self) -> None:
        """Note that a piece of work is over."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def leave(self) -> None:
        """Say from now on that others should be asked; what is asked all the same is served."""
        self.is_leaving = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Enter every resource in order; leave them in reverse, also when a later one fails to start."""
        async with AsyncExitStack() as stack:
            for _, resource in self._resources:
                await stack.enter_async_context(resource())
            self.is_started = True
            try:
                yield
            finally:
                self.is_started = False

    async def drain(self, seconds: float) -> bool:
        """Refuse new work and wait up to ``seconds`` for what runs; say whether all of it ended."""
        self.is_draining = self.is_leaving = True
        deadline = monotonic_seconds() + seconds
        while self._in_flight:
            left = deadline - monotonic_seconds()
            if left <= 0:
                return False
            self._idle.clear()
            try:
                async with asyncio.timeout(left):
                    await self._idle.wait()
            except TimeoutError:
                return False
        return True
