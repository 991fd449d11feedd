"""Bytes that are nearly HTTP, against a real process: an answer or a close, no 500, and others are served."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from tests.application import anon_key
from tests.fuzz.test_connections import GROWTH_BYTES, api, memory_bytes, nothing_goes_on, served
from tests.load.hostile_clients import Target
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from tests.integration.rolling.processes import Process

__all__ = ["api"]

ROUNDS: Final = 50
TOGETHER: Final = 20
PARTS: Final = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"\x00",
        b"\xff",
        b":",
        b"0",
        b"-1",
        b"\r\n\r\n",
        b"%00",
        b"#",
        b"?",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\n",
        b"Host: b\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"HTTP/1.0", b"HTTP/2.0"),
    *(b" " * 5000, b"*" * 5000, b"\r\n" * 3000, b"0\r\n\r\n", b"3\r\n[1]\r\n"),
)


def hostile(rng: random.Random, target: Target) -> bytes:
    """Return one to three requests with some places changed."""
    kind = "Content-Type: application/json"
    good = (
        target.head("GET", "?limit=1&select=id"),
        target.head("POST", "", kind, "Content-Length: 2") + b"[]",
        target.head("POST", "", kind, "Transfer-Encoding: chunked") + b"2\r\n[]\r\n0\r\n\r\n",
        target.head("HEAD", ""),
        target.head("OPTIONS", "", "Origin: http://a", "Access-Control-Request-Method: GET"),
    )
    sent = bytearray(b"".join(rng.choices(good, k=rng.randrange(1, 4))))
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(sent))
        sent[at : at + rng.choice((0, 0, 1, 8))] = rng.choice((*PARTS, rng.randbytes(3)))
    return bytes(sent)


async def attack(sent: bytes, target: Target, step: int) -> None:
    reader, writer = await asyncio.open_connection(target.host, target.port)
    got = b""
    try:
        with suppress(ConnectionError):
            for at in range(0, len(sent), step):
                writer.write(sent[at : at + step])
                await writer.drain()
            await asyncio.sleep(0.05)
            writer.write_eof()  # some wait for more of a request
            async with asyncio.timeout(PATIENCE_SECONDS):
                got = await reader.read()
    finally:
        writer.transport.abort()
    assert not got or got.startswith(b"HTTP/1.1 "), (sent, got)
    assert b"HTTP/1.1 500" not in got, (sent, got)


@pytest.mark.parametrize("api", ["own"], indirect=True)
async def test_an_answer_or_a_close(api: Process) -> None:
    assert api.port is not None
    target = Target("127.0.0.1", api.port, anon_key(), "notes")
    rng = random.Random(11)
    await served(target)
    before = memory_bytes(api.pid)
    for _ in range(ROUNDS):
        attacks = [(hostile(rng, target), rng.choice((1, 7, 100, 100_000))) for _ in range(TOGETHER)]
        await asyncio.gather(*(attack(sent, target, step) for sent, step in attacks))
        await served(target)
    assert memory_bytes(api.pid) - before < GROWTH_BYTES
    await nothing_goes_on(api)
