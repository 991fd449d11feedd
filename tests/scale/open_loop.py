"""Send requests at a steady rate whatever becomes of them, and say how long each took.

A process of its own, so that neither its garbage nor the test's work is in the
figures. A request's time counts from the moment at which it was due, so one
that had to wait for others is not flattered.

    python open_loop.py < order > samples

Order and samples are JSON. A sample is when it was due (seconds of the clock
that all processes of a machine share), how long it took in seconds, and the
status, 0 for no answer.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from itertools import cycle
from typing import Any


class Connection(asyncio.Protocol):
    """One request at a time over a connection that stays open."""

    def __init__(self) -> None:
        self.received = b""
        self.answer: asyncio.Future[int] | None = None
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if end and self.answer is not None:
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(body) >= length:
                self.answer.set_result(int(head.split(b" ", 2)[1]))

    def connection_lost(self, _: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(0)

    async def ask(self, request: bytes) -> int:
        self.received = b""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


async def run(order: dict[str, Any]) -> list[tuple[float, float, int]]:
    samples: list[tuple[float, float, int]] = []
    free: list[Connection] = []
    loop = asyncio.get_running_loop()

    async def ask(request: bytes, due: float) -> None:
        connection = free.pop() if free else None
        if connection is None or connection.transport.is_closing():
            _, connection = await loop.create_connection(Connection, "127.0.0.1", order["port"])
        status = await connection.ask(request)
        samples.append((due, time.monotonic() - due, status))
        free.append(connection)

    requests = cycle(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {order['token']}\r\n\r\n".encode()
        for path in order["paths"]
    )
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(order["seconds"] * order["rate"])):
            due = started + number / order["rate"]
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(ask(next(requests), due))
    return samples


if __name__ == "__main__":
    gc.disable()
    json.dump(asyncio.run(asyncio.wait_for(run(json.load(sys.stdin)), 120)), sys.stdout)
