"""A receiver of webhooks: a real HTTP server that can fail, hang, redirect and answer without an end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from standardwebhooks.webhooks import Webhook

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.tasks import end
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Got(Struct):
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def verify(self, secret: str) -> Any:
        """Return the body once the reference implementation holds the signature for right."""
        return Webhook(secret).verify(self.body, self.headers)


class Answer(Struct, kw_only=True):
    """What to answer; ``manner`` says how, and ``gate`` may hold it back."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b"taken"
    wait_seconds: float = 0.0
    manner: str = "whole"
    gate: asyncio.Event | None = None


class Receiver:
    """Answers by path, as it is told: one answer, or a list of which the last one repeats."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.plan: dict[str, list[Answer]] = defaultdict(lambda: [Answer()])
        self._refused: dict[str, Callable[[Got], bool]] = {}
        self.busy: dict[str, int] = defaultdict(int)
        self.busiest: dict[str, int] = defaultdict(int)
        self.port = 0
        self._arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[Receiver]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                await end(task)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Got]:
        return [one for one in self.got if one.path == path]

    def refuse(self, path: str, which: Callable[[Got], bool]) -> None:
        """Answer 422 at ``path`` to the requests for which ``which`` holds."""
        self._refused[path] = which

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until ``holds()`` is true; looked at with each request."""
        async with self._arrived:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._arrived.wait_for(lambda: bool(holds()))
            except TimeoutError:
                paths = [one.path for one in self.got[-20:]]
                raise AssertionError(
                    f"not within {PATIENCE_SECONDS} s; got {len(self.got)}, at last {paths}"
                ) from None

    async def arrived(self, path: str, number: int = 1) -> list[Got]:
        """Return what came to ``path`` once that were so many."""
        await self.until(lambda: len(self.at(path)) >= number)
        return self.at(path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = first.split(" ")[1]
        answers = self.plan[path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.busy[path] += 1
        self.busiest[path] = max(self.busiest[path], self.busy[path])
        async with self._arrived:
            got = Got(path, headers, body, monotonic_seconds())
            self.got.append(got)
            self._arrived.notify_all()
        if path in self._refused and self._refused[path](got):
            answer = Answer(status=422)
        try:
            return await self._answer(answer, writer)
        finally:
            self.busy[path] -= 1

    @staticmethod
    async def _answer(answer: Answer, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(answer.wait_seconds)
        if answer.gate is not None:
            await answer.gate.wait()
        if answer.manner == "hang":
            await asyncio.sleep(3600)
        length = "" if answer.manner == "endless" else f"content-length: {len(answer.body)}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        writer.write(f"HTTP/1.1 {answer.status} X\r\n{length}{lines}\r\n".encode())
        if answer.manner == "endless":
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        if answer.manner == "drip":
            for byte in answer.body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.2)
        else:
            writer.write(answer.body)
        await writer.drain()
        return True
