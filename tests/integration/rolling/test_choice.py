"""While one of two processes is aside, every request that comes finds the other, however many come at once.

The processes are two servers that answer at once, so that there are enough requests for a rare refusal to
show: with ``round_robin`` Caddy 2.6 refuses about eight of them.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import pytest

from tests.integration.rolling.processes import NAMES, Proxy, is_installed
from tests.integration.rolling.traffic import read_answer
from tests.patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE: Final = 40
REQUESTS: Final = 20_000


class Upstream:
    """Answers 200 to everything, or 503 to who asks whether it has started."""

    def __init__(self, *, is_leaving: bool) -> None:
        self._is_leaving = is_leaving
        self.served = 0
        self.refused = 0

    async def start(self, stack: AsyncExitStack) -> int:
        server = await stack.enter_async_context(await asyncio.start_server(self._serve, "127.0.0.1", 0))
        stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"PATCH"):
                    await reader.readexactly(2)
                    self.served += 1
                if self._is_leaving and b" /health/startup " in head:
                    self.refused += 1
                    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def send(port: int, count: int) -> list[int]:
    """Return the status of each of many PATCH, one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    statuses = []
    try:
        for _ in range(count):
            writer.write(b"PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
            statuses.append((await read_answer(reader))[0])
    finally:
        writer.close()
    return statuses


@pytest.mark.parametrize("name", NAMES)
async def test_whatever_comes_at_once_finds_who_serves(tmp_path: Path, name: str) -> None:
    is_installed(name)
    async with AsyncExitStack() as stack:
        leaving, staying = Upstream(is_leaving=True), Upstream(is_leaving=False)
        ports = await leaving.start(stack), await staying.start(stack)
        proxy = Proxy(name, ports, tmp_path)
        await asyncio.to_thread(proxy.__enter__)
        stack.push_async_callback(asyncio.to_thread, proxy.__exit__)
        if name == "caddy":  # nginx does not ask
            await eventually(lambda: leaving.refused > 1)
            leaving.served = 0
        answers = await asyncio.gather(*(send(proxy.port, REQUESTS // AT_ONCE) for _ in range(AT_ONCE)))
    assert {status for statuses in answers for status in statuses} == {200}
    assert leaving.served + staying.served == REQUESTS
    assert name == "nginx" or leaving.served == 0
