"""Heads of answers: status line, the application's headers, and how the body ends."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monohull.kernel.errors import Rendered

_STATUS: Final = {
    status.value: b"HTTP/1.1 %d %b\r\ndate: " % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
_EMPTY: Final = 204
_WITHOUT_BODY: Final = frozenset({_EMPTY, 304})
_LENGTHS: Final = frozenset({b"content-length", b"Content-Length"})
_FRAMING: Final = frozenset(
    {b"connection", b"Connection", b"transfer-encoding", b"Transfer-Encoding", b"date"}
)
"""Of what the application gives this is the server's to say."""
_END: Final = (b"", b"")
LAST_CHUNK: Final = b"0\r\n\r\n"


class Framing(Struct):
    """How an answer is sent.

    Attributes:
        head: Status line and headers, with the empty line after them.
        left: Bytes of the body that are still due; None where its end is told otherwise.
        is_chunked: The body goes in chunks.
        keeps: The connection goes on afterwards.
        is_bare: No body is sent, whatever the application gives.
    """

    head: bytes
    left: int | None
    is_chunked: bool
    keeps: bool
    is_bare: bool


class Dates:
    """The ``Date`` of answers, written once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def now(self) -> bytes:
        """Return the present second as HTTP writes it, with the end of its line."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._line


DATES: Final = Dates()


def frame(  # noqa: PLR0913 an answer has these parts
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    whole_bytes: int | None,
    is_head: bool,
    is_newer: bool,
    keeps: bool,
) -> Framing:
    """Write the head of an answer.

    Args:
        status: Its status.
        headers: The application's.
        whole_bytes: Of the body, if all of it is there; None when more may come.
        is_head: It answers HEAD.
        is_newer: The client speaks HTTP/1.1, so that it knows chunks.
        keeps: Whether the connection can go on.

    Raises:
        ValueError: A header holds what would end it.
    """
    own = dict(headers)
    if not _FRAMING.isdisjoint(own):
        if b"close" in own.get(b"connection", own.get(b"Connection", b"")).lower():
            keeps = False
        headers = [pair for pair in headers if pair[0] not in _FRAMING]
    length = own.get(b"content-length") or own.get(b"Content-Length")
    left = None if length is None else int(length)
    if status == _EMPTY and left is not None:  # who believes it would wait for a body
        headers = [pair for pair in headers if pair[0] not in _LENGTHS]
    lines = [b": ".join(pair) for pair in headers]
    is_bare = is_head or status in _WITHOUT_BODY
    is_chunked = False
    if left is None and not is_bare:
        if whole_bytes is not None:
            left = whole_bytes
            lines.append(b"content-length: %d" % left)
        elif is_newer:
            is_chunked = True
            lines.append(b"transfer-encoding: chunked")
        else:
            keeps = False
    if not keeps:
        lines.append(b"connection: close")
    elif not is_newer:
        lines.append(b"connection: keep-alive")
    lines += _END
    text = b"\r\n".join(lines)
    count = len(lines) - 1
    if text.count(b"\n") != count or text.count(b"\r") != count or b"\0" in text:
        raise ValueError("a header of the answer holds a line feed, a carriage return or a zero byte")
    start = _STATUS.get(status) or _unnamed(status)
    return Framing(start + DATES.now() + text, left, is_chunked, keeps, is_bare)


def whole_head(status: int, lines: bytes, length: int, *, keeps: bool, is_newer: bool) -> bytes:
    """Write the head of an answer whose header lines are written already, and whose body is there."""
    end = b"\r\n"
    if not keeps:
        end = b"connection: close\r\n\r\n"
    elif not is_newer:
        end = b"connection: keep-alive\r\n\r\n"
    start = _STATUS.get(status) or _unnamed(status)
    return b"%b%b%bcontent-length: %d\r\n%b" % (start, DATES.now(), lines, length, end)


def _unnamed(status: int) -> bytes:
    return b"HTTP/1.1 %d \r\ndate: " % status


def whole(rendered: Rendered, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Return the whole of an answer after which the connection ends; ``more`` are further headers."""
    headers = [
        (b"content-type", rendered.media_type.encode()),
        *((name.encode(), value.encode("latin-1", "replace")) for name, value in rendered.headers.items()),
        *more,
    ]
    length = len(rendered.body)
    framing = frame(rendered.status, headers, whole_bytes=length, is_head=False, is_newer=True, keeps=False)
    return framing.head + rendered.body


def chunk(body: bytes) -> bytes:
    r"""Return a piece of a body as a chunk.

    >>> chunk(b"hello")
    b'5\r\nhello\r\n'
    """
    return b"%x\r\n%b\r\n" % (len(body), body)
