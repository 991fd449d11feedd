"""The smallest HTTP server, for ports beside the public one: one answer to one GET, then the end.

The public server is Granian; whoever scrapes or probes a port of its own needs
no more than this.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Answer: TypeAlias = tuple[bytes, str, bytes]
"""Status line after the version, content type, body."""

REQUEST_SECONDS: Final = 5.0
MAX_REQUEST_BYTES: Final = 8192
NOT_FOUND: Final[Answer] = (b"404 Not Found", "text/plain", b"")
OK: Final = b"200 OK"


async def listen(host: str, port: int, answer: Callable[[bytes], Awaitable[Answer]]) -> asyncio.Server:
    """Listen on a port and answer each GET with what ``answer`` returns for its path.

    Raises:
        OSError: Somebody else has the port.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(*await _answer_to(head, answer)))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    return await asyncio.start_server(serve, host, port, limit=MAX_REQUEST_BYTES)


async def _answer_to(head: bytes, answer: Callable[[bytes], Awaitable[Answer]]) -> Answer:
    line = head.split(b"\r\n", 1)[0].split(b" ")
    if line[0] != b"GET":
        return b"405 Method Not Allowed", "text/plain", b""
    return await answer(line[1].split(b"?")[0]) if len(line) > 1 else NOT_FOUND


def _response(status: bytes, media_type: str, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"
        b"Connection: close\r\n\r\n" % (status, media_type.encode(), len(body))
    ) + body
