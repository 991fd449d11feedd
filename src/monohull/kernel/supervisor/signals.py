"""Signals of the supervisor: a count of requests to stop, and a sleep that they end."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts SIGINT, SIGTERM and SIGHUP while it is entered; SIGCHLD only wakes."""

    def __init__(self) -> None:
        self.count = 0
        self.first: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._awake, self._waker = socket.socketpair()

    def __enter__(self) -> Self:
        for end in (self._awake, self._waker):
            end.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in STOPS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._previous[number] = signal.signal(number, self._note)
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._previous_fd)
        for number, action in self._previous.items():
            signal.signal(number, action)
        self._awake.close()
        self._waker.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.count += 1
        self.first = self.first or signal.Signals(number)

    @property
    def requested(self) -> bool:
        return self.count > 0

    @property
    def insisted(self) -> bool:
        return self.count > 1

    def sleep(self, seconds: float) -> None:
        """Sleep until a signal arrives, ``seconds`` at most."""
        select.select([self._awake], [], [], max(seconds, 0.0))
        with contextlib.suppress(BlockingIOError):
            while self._awake.recv(512):
                pass
