"""What a process of the API does first when it is told to stop: it goes on, and sends everybody elsewhere.

Between the signal and the end of listening, for ``MONOHULL_LAME_DUCK_SECONDS``,
requests are served as ever, readiness is refused, and each answer closes its
connection. A load balancer that looks at readiness sends nothing new, and one
that does not (nginx) holds no idle connection any more by the time the server
closes those, so none of its requests meets a connection that closes. Only then
does the server hear of the stop, and drains.

Granian (2.8.7) stops its worker on SIGTERM and on SIGINT alike: the first is
taken over here, and the second is sent when the time is over.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.listener import stop_listening
from monohull.kernel.observation import ProcessLeaving

if TYPE_CHECKING:
    from monohull.kernel.lifecycle import Lifecycle
    from monohull.kernel.observation import Observer

END: Final = signal.SIGINT
SAME_SECONDS: Final = 1.0
"""Within this time a second signal is the first once more: ``litestar run`` sends it to all processes, and
the server passes on to its workers what it got."""


class LameDuck:
    """Puts time between SIGTERM and the end of listening.

    Args:
        lifecycle: Told when the process begins to leave.
        observer: The same.
        seconds: How much time; 0: the server hears of the stop at once.
        parent: The server's main process; nobody waits for one whose parent is gone.
    """

    def __init__(self, lifecycle: Lifecycle, observer: Observer, *, seconds: float, parent: int) -> None:
        self._lifecycle = lifecycle
        self._observer = observer
        self._seconds = seconds
        self._parent = parent
        self._leaving: asyncio.Task[None] | None = None
        self._left_at = 0.0

    def watch(self) -> None:
        """Take SIGTERM over from the server; inside its running loop, once it serves."""
        if self._seconds > 0:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, self._leave, loop)

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        if os.getppid() != self._parent:
            self._end()
            return
        if self._lifecycle.is_leaving:
            if monotonic_seconds() - self._left_at > SAME_SECONDS:
                self._end()  # who asks twice does not want to wait
            return
        self._left_at = monotonic_seconds()
        self._lifecycle.leave()
        self._observer.observe(ProcessLeaving(process="api", seconds=self._seconds))
        self._leaving = loop.create_task(self._last(), name="lame duck")

    async def _last(self) -> None:
        await asyncio.sleep(self._seconds)
        await stop_listening()
        self._end()

    def _end(self) -> None:
        os.kill(os.getpid(), END)
