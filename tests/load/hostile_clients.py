"""Clients that send slowly, read slowly, hold connections or talk nonsense, over real sockets.

The cases of "slow and hostile clients" that are about connections; what a
request may ask for is attacked in ``tests/fuzz``. Each client attacks until it
is cancelled, and comes back when it is thrown out.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Client = Callable[["Target"], Awaitable[None]]

RECEIVE_BUFFER_BYTES: Final = 4096
PAUSE_SECONDS: Final = 0.2


class Target(Struct, frozen=True):
    """What is attacked.

    Attributes:
        apikey: Of a role that may read and write ``table``.
        table: With columns ``id`` and ``text``, and megabytes in it.
    """

    host: str
    port: int
    apikey: str
    table: str

    def head(self, method: str, path: str, *lines: str) -> bytes:
        fields = "".join(f"{line}\r\n" for line in (f"Host: {self.host}", f"apikey: {self.apikey}", *lines))
        return f"{method} /rest/v1/{self.table}{path} HTTP/1.1\r\n{fields}\r\n".encode()


@asynccontextmanager
async def connection(
    target: Target, *, receives: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(target.host, target.port, limit=receives or 2**16)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def idle(target: Target) -> None:
    """Connect and say nothing."""
    async with connection(target) as (reader, _):
        await reader.read()


async def slow_head(target: Target) -> None:
    """Send a byte of the header each second."""
    async with connection(target) as (_, writer):
        for byte in target.head("GET", "?limit=1", f"x-padding: {'a' * 1000}"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)


async def slow_body(target: Target) -> None:
    """Announce 100,000 bytes of JSON and send 100 a second."""
    async with connection(target) as (_, writer):
        kind = "Content-Type: application/json"
        writer.write(target.head("POST", "", kind, "Content-Length: 100000") + b'[{"id":1,"text":"')
        for _ in range(1000):
            writer.write(b"a" * 100)
            await writer.drain()
            await asyncio.sleep(1)


async def slow_chunks(target: Target) -> None:
    """Announce nothing and send a chunk of one byte a second."""
    async with connection(target) as (_, writer):
        kind = "Content-Type: application/json"
        writer.write(target.head("POST", "", kind, "Transfer-Encoding: chunked"))
        for _ in range(1000):
            writer.write(b"1\r\n[\r\n")
            await writer.drain()
            await asyncio.sleep(1)


async def deaf(target: Target) -> None:
    """Ask for megabytes and read none of them."""
    async with connection(target, receives=RECEIVE_BUFFER_BYTES) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(target.head("GET", "?select=*"))
        await asyncio.sleep(3600)


async def pipelining(target: Target) -> None:
    """Send requests after requests, with nonsense behind them, and read no answer."""
    async with connection(target, receives=RECEIVE_BUFFER_BYTES) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(20):
            writer.write(target.head("GET", "?select=*&limit=1") * 50)
            await writer.drain()
        writer.write(random.randbytes(10_000))
        await writer.drain()
        await asyncio.sleep(3600)


async def large_head(target: Target) -> None:
    """Send a header of two megabytes."""
    async with connection(target) as (reader, writer):
        writer.write(target.head("GET", "?limit=1", f"x-padding: {'a' * 2_000_000}"))
        with suppress(ConnectionError):
            await writer.drain()
            await reader.read(4096)


async def large_body(target: Target) -> None:
    """Send 100 MB as one JSON text, unannounced."""
    async with connection(target) as (reader, writer):
        kind = "Content-Type: application/json"
        writer.write(target.head("POST", "", kind, "Transfer-Encoding: chunked"))
        part = b"186a0\r\n" + b"[" * 100_000 + b"\r\n"
        with suppress(ConnectionError):
            for _ in range(1000):
                writer.write(part)
                await writer.drain()
            await reader.read(4096)


CLIENTS: Final[dict[str, tuple[Client, int]]] = {
    "idle": (idle, 1500),
    "slow_head": (slow_head, 200),
    "slow_body": (slow_body, 100),
    "slow_chunks": (slow_chunks, 100),
    "deaf": (deaf, 12),
    "pipelining": (pipelining, 30),
    "large_head": (large_head, 5),
    "large_body": (large_body, 2),
}
"""Each with how many of it come at once."""


@asynccontextmanager
async def attacking(target: Target, *names: str) -> AsyncIterator[None]:
    """Have these clients attack, all at once, while the block runs."""
    tasks = [
        asyncio.create_task(_again(CLIENTS[name][0], target))
        for name in names
        for _ in range(CLIENTS[name][1])
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again(client: Client, target: Target) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            await client(target)
        await asyncio.sleep(PAUSE_SECONDS)
