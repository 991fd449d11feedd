"""A body in chunks, cut into pieces however the network cut it: ``5 CRLF hello CRLF 0 CRLF CRLF``."""

from __future__ import annotations

import re
from typing import Final

from monohull.kernel.errors import InvalidRequest
from monohull.kernel.server.heads import LINE

MAX_LINE_BYTES: Final = 1024
"""Of a size with its extensions, which are ignored."""
MAX_TRAILER_BYTES: Final = 8192
"""Fields after the body are read and dropped."""

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*|[ \t]*)")


class Chunks:
    """Reads one body.

    Attributes:
        is_complete: The last byte of it has come.
    """

    __slots__ = ("_left", "_line", "_state", "_trailer_bytes", "is_complete")

    def __init__(self) -> None:
        self.is_complete = False
        self._state = _SIZE_LINE
        self._left = 0
        self._line = b""
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what ``data`` holds of the body, and what follows the body in it.

        Raises:
            InvalidRequest: 400, these are no chunks.
        """
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.is_complete:
            if self._state is _DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = _AFTER_DATA
                continue
            stop = data.find(b"\n", at) + 1
            line = self._line + data[at : stop or end]
            at = stop or end
            if len(line) > MAX_LINE_BYTES:
                raise InvalidRequest("A line between the chunks of the body is too long.")
            if not stop:
                self._line = line
                break
            self._line = b""
            if not line.endswith(b"\r\n"):
                raise InvalidRequest("A line between the chunks of the body ends without a carriage return.")
            self._take_line(line[:-2])
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), data[at:]

    def _take_line(self, line: bytes) -> None:
        if self._state is _AFTER_DATA:
            if line:
                raise InvalidRequest("A chunk of the body has more bytes than it says.")
            self._state = _SIZE_LINE
        elif self._state is _SIZE_LINE:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise InvalidRequest("A chunk of the body does not begin with its size.")
            self._left = int(match[1], 16)
            self._state = _DATA if self._left else _TRAILER
        elif not line:
            self.is_complete = True
        elif LINE.fullmatch(line) is None:
            raise InvalidRequest(
                "A line after the body is no field: a name, a colon and a value are expected."
            )
        else:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise InvalidRequest("The fields after the body are too long.")


_SIZE_LINE: Final = "size"
_DATA: Final = "data"
_AFTER_DATA: Final = "after data"
_TRAILER: Final = "trailer"
