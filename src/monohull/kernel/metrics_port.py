"""``/metrics`` on a port of its own, away from the public, when ``MONOHULL_METRICS_PORT`` is set.

A scrape needs one answer to one request, so this is the smallest HTTP server
that gives it; the public one is Granian. Several processes of one host
share their numbers by files, so the first one that gets the port answers for
all; when it goes, another takes the port over.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from monohull.kernel.metrics import CONTENT_TYPE, Metrics
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TAKE_OVER_SECONDS: Final = 2.0
REQUEST_SECONDS: Final = 5.0
MAX_REQUEST_BYTES: Final = 8192


@asynccontextmanager
async def serve_metrics(metrics: Metrics, host: str, port: int | None) -> AsyncIterator[None]:
    """Serve for as long as the block runs; do nothing when no port is configured."""
    if port is None:
        yield
        return
    tried = asyncio.Event()
    async with beside(_hold_port(metrics, host, port, tried), name="metrics port"):
        await tried.wait()
        yield


async def _hold_port(metrics: Metrics, host: str, port: int, tried: asyncio.Event) -> None:
    """Listen, or wait until whoever listens there is gone; set ``tried`` after the first attempt."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await respond(metrics, head))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    while True:
        try:
            server = await asyncio.start_server(answer, host, port, limit=MAX_REQUEST_BYTES)
        except OSError:
            tried.set()
            await asyncio.sleep(TAKE_OVER_SECONDS)
            continue
        tried.set()
        async with server:
            await server.serve_forever()


async def respond(metrics: Metrics, head: bytes) -> bytes:
    """Return the whole HTTP answer to the request whose head is ``head``."""
    line = head.split(b"\r\n", 1)[0].split(b" ")
    if line[0] != b"GET":
        return _response(b"405 Method Not Allowed", b"")
    if len(line) < 2 or line[1].split(b"?")[0] != b"/metrics":  # noqa: PLR2004 method and target
        return _response(b"404 Not Found", b"")
    return _response(b"200 OK", await metrics.exposition())


def _response(status: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        % (status, CONTENT_TYPE.encode(), len(body))
    ) + body
