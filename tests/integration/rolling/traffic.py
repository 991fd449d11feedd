"""Requests at a steady rate, each of which has to succeed, over connections that are kept."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS: Final = 60.0
CONNECTIONS: Final = 40
LONG_SECONDS: Final = 3.0


class Failure(Struct, frozen=True):
    """A request without the answer it has to have."""

    at: float
    request: str
    what: str


class Tally(Struct):
    """What became of the requests; ``written`` are the rows that were acknowledged, ``asked`` the jobs."""

    sent: int = 0
    failures: list[Failure] = []
    written: list[int] = []
    asked: list[int] = []
    seconds: list[float] = []


class Traffic:
    """Of eight requests three read a row, two add one by POST, two change one by PATCH, one asks for a job.

    Args:
        url: Of the proxy.
        data_key: For the data API.
        service_key: For asking for jobs.
    """

    def __init__(self, url: str, *, data_key: str, service_key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._keys = {"/rest": data_key, "/plat": service_key}
        self._numbers = itertools.count(1)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._began = time.monotonic()
        self.tally = Tally()

    async def run(self, per_second: float, until: Callable[[], bool]) -> Tally:
        """Begin a request each ``1 / per_second`` seconds, unless too many have no answer yet."""
        running: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not until():
            if len(running) > CONNECTIONS:
                _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._one(next(self._numbers)))
            running.add(task)
            task.add_done_callback(running.discard)
            due += 1 / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*running)
        for _, writer in self._idle:
            writer.close()
        return self.tally

    async def _one(self, number: int) -> None:
        """Send one request and note what came."""
        kind = number % 8
        if kind < 3:
            method, path, body, wanted = "GET", "/rest/v1/notes?id=eq.0", b"", 200
        elif kind < 5:
            method, path, wanted = "POST", "/rest/v1/notes", 201
            body = b'{"id":%d,"text":"a note"}' % number
        elif kind < 7:
            method, path, wanted = "PATCH", "/rest/v1/notes?id=eq.0", 204
            body = b'{"text":"changed by %d"}' % number
        else:
            method, path, wanted = "POST", "/platform/v1/jobs", 201
            # now and then one that a worker cannot finish before it has to stop
            seconds = LONG_SECONDS if number % 64 == 63 else 0.1
            body = b'{"name":"rolling.work","arguments":{"n":%d,"seconds":%.1f}}' % (number, seconds)
        self.tally.sent += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, answer = await self._exchange(method, path, body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._fail(method, f"{type(error).__name__}: {error}")
            return
        self.tally.seconds.append(time.monotonic() - began)
        if status != wanted:
            self._fail(method, f"{status} {answer[:200]!r}")
        elif wanted == 201:
            (self.tally.asked if kind == 7 else self.tally.written).append(number)

    def _fail(self, request: str, what: str) -> None:
        self.tally.failures.append(Failure(round(time.monotonic() - self._began, 3), request, what))

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        reader, writer = self._idle.pop() if self._idle else await self._open()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\napikey: {self._keys[path[:5]]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        try:
            status, fields, answer = await read_answer(reader)
        except BaseException:
            writer.close()
            raise
        if fields.get("connection", "").lower() == "close" or len(self._idle) >= CONNECTIONS:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return status, answer

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Return status, header fields and body of the next answer that is not provisional."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    fields = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in head[1:])}
    if status == 204:
        return status, fields, b""
    if fields.get("transfer-encoding") != "chunked":
        return status, fields, await reader.readexactly(int(fields.get("content-length", "0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return status, fields, body
