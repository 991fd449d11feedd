"""Heads of answers: status line, the application's headers, and how the body ends."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monohull.kernel.errors import Rendered

_STATUS: Final = {
    status.value: b"HTTP/1.1 %d %b\r\ndate: " % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_WITHOUT_BODY: Final = frozenset({204, 304})
_LENGTH: Final = frozenset({b"content-length", b"Content-Length"})
_FRAMING: Final = frozenset({b"connection", b"Connection", b"transfer-encoding", b"Transfer-Encoding", b"date"})
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


def frame(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
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
    parts = [_STATUS.get(status) or b"HTTP/1.1 %d \r\ndate: " % status, DATES.now()]
    left: int | None = None
    count = 2
    for name, value in headers:
        if name in _FRAMING:
            if name[0] in b"cC" and b"close" in value.lower():
                keeps = False
            continue
        if name in _LENGTH:
            left = int(value)
        parts += (name, b": ", value, b"\r\n")
        count += 1
    is_bare = is_head or status in _WITHOUT_BODY
    is_chunked = False
    if left is None and not is_bare:
        if whole_bytes is not None:
            left = whole_bytes
            parts.append(b"content-length: %d\r\n" % left)
            count += 1
        elif is_newer:
            is_chunked = True
            parts.append(b"transfer-encoding: chunked\r\n")
            count += 1
        else:
            keeps = False
    if not keeps:
        parts.append(b"connection: close\r\n")
        count += 1
    elif not is_newer:
        parts.append(b"connection: keep-alive\r\n")
        count += 1
    parts.append(b"\r\n")
    head = b"".join(parts)
    if head.count(b"\n") != count + 1 or head.count(b"\r") != count + 1 or b"\0" in head:
        raise ValueError("a header of the answer holds a line feed, a carriage return or a zero byte")
    return Framing(head, left, is_chunked, keeps, is_bare)


def whole(rendered: Rendered) -> bytes:
    """Return the whole of an answer after which the connection ends."""
    headers = [
        (b"content-type", rendered.media_type.encode()),
        *((name.encode(), value.encode("latin-1", "replace")) for name, value in rendered.headers.items()),
    ]
    length = len(rendered.body)
    framing = frame(
        rendered.status, headers, whole_bytes=length, is_head=False, is_newer=True, keeps=False
    )
    return framing.head + rendered.body


def chunk(body: bytes) -> bytes:
    """Return a piece of a body as a chunk.

    >>> chunk(b"hello")
    b'5\\r\\nhello\\r\\n'
    """
    return b"%x\r\n%b\r\n" % (len(body), body)
