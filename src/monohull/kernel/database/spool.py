"""What clients have not taken yet, in files without a name.

A file is used by one thread at a time and by whoever asks for it in the event
loop only through threads: a disk that is busy must not stop the process.
"""

from __future__ import annotations

import os
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SPOOLED_BYTES: Final = 1024 * 1024 * 1024
"""What one process may have on disk; more would let slow clients fill it."""


class SpoolFull(Exception):
    """The clients of this process have left too much on disk already."""


class Spools:
    """The room on disk that the answers of one process share.

    Args:
        limit_bytes: How much there is.
        is_hurried: Whether somebody waits for what an answer that is not spooled keeps busy.
    """

    def __init__(
        self, limit_bytes: int = MAX_SPOOLED_BYTES, is_hurried: Callable[[], bool] = lambda: False
    ) -> None:
        self.limit_bytes = limit_bytes
        self.is_hurried = is_hurried
        self.used_bytes = 0

    def reserve(self, size: int) -> Spool:
        """Return a file for up to ``size`` bytes; `Spool.close` gives the room back.

        Raises:
            SpoolFull: There is no room for it.
            OSError: No file can be made.
        """
        if self.used_bytes + size > self.limit_bytes:
            raise SpoolFull(f"{self.used_bytes} bytes of {self.limit_bytes} wait on disk already")
        spool = Spool(self, size)
        self.used_bytes += size
        return spool


class Spool:
    """One file: written at its end, read anywhere."""

    def __init__(self, room: Spools, size: int) -> None:
        self._room = room
        self._reserved = size
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 closed by `close`
        self._lock = threading.Lock()
        self._is_closed = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append ``data``.

        Raises:
            OSError: The disk is full or broken.
            ValueError: It is closed.
        """
        view = memoryview(data)
        with self._lock:
            while view:
                written = os.pwrite(self._file.fileno(), view, self.size)
                self.size += written
                view = view[written:]

    def read(self, at: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``at`` on.

        Raises:
            OSError: The disk is broken.
            ValueError: It is closed.
        """
        with self._lock:
            return os.pread(self._file.fileno(), size, at)

    def close(self) -> None:
        """Give file and room back; waits for the block that is being written or read."""
        if not self._is_closed:
            self._is_closed = True
            self._room.used_bytes -= self._reserved
            with self._lock:
                self._file.close()
