"""nginx and Caddy before our own server agree with it about where each request ends.

A proxy writes ``X-Forwarded-For`` into every request that it sees. One that
arrives without it was seen by the server alone: it stood inside of another
one. And whoever asks next on the connection that the proxy keeps gets the
answer to that one.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final

import pytest

from tests.integration.kernel.test_server_connections import answer, serving
from tests.integration.kernel.test_server_smuggling import CHUNKED, INNER, POST, VECTORS
from tests.integration.rolling.processes import NAMES, Proxy, is_installed
from tests.integration.rolling.traffic import read_answer
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.asgi import Receive, Scope, Send

WAIT_SECONDS: Final = 0.1
"""For whatever a proxy has to say of what is no request."""
FORWARDED: Final = b"x-forwarded-for"
ALLOWED: Final = {
    "chunk extension": CHUNKED + b'1;a="b"\r\na\r\n0\r\n\r\n',
    "chunk with zeros": CHUNKED + b"01\r\na\r\n000\r\n\r\n",
    "trailer": CHUNKED + b"0\r\nContent-Length: 7\r\n\r\n",
    "a request in a body": POST + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "a request in a chunk": CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER),
    "a body of GET": b"GET /outer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "a body of HEAD": b"HEAD /outer HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
    "underscores": POST + b"Content_Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n",
    "expected": POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\na",
    "upgrade": POST + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na",
    "connection names a length": POST + b"Connection: content-length\r\nContent-Length: 1\r\n\r\na",
    "connection names a coding": POST + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\na\r\n0\r\n\r\n",
    "whole URL": b"POST http://b/outer HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
    "HTTP/1.0": b"POST /outer HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
}
"""What the server alone would take."""


class Recording:
    """Answers with the path, before the body was read or after that.

    Attributes:
        seen: How many requests there were.
        unseen: Paths of those that the proxy did not see.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.unseen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen += 1
        if FORWARDED not in dict(scope["headers"]) and not scope["path"].startswith("/health/"):
            self.unseen.append(scope["path"])
        if scope["query_string"] != b"early":
            while (message := await receive())["type"] == "http.request":
                if not message["more_body"]:
                    break
            else:
                return
        await answer(send, scope["path"].encode())


async def attack(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent + INNER)
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(WAIT_SECONDS):
            while await reader.read(65536):
                pass
    writer.transport.abort()


async def ask(port: int, path: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        writer.write(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
        status, _, body = await read_answer(reader)
    writer.transport.abort()
    return status, body


@pytest.mark.parametrize("name", NAMES)
async def test_proxy_and_server_agree(name: str, tmp_path: Path) -> None:
    is_installed(name)
    app = Recording()
    sent = {**{vector: request for vector, (request, _) in VECTORS.items()}, **ALLOWED}
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(serving(app)) for _ in range(2)]
        proxy = Proxy(name, (one.port, other.port), tmp_path)
        await asyncio.to_thread(proxy.__enter__)
        try:
            for number, (vector, request) in enumerate(sent.items()):
                for early in (b"", b"?early"):
                    await attack(proxy.port, request.replace(b"/outer ", b"/outer%b " % early, 1))
                    for again in range(4):
                        path = b"/%d/%d" % (number, again)
                        assert await ask(proxy.port, path) == (200, path), (vector, early)
                assert app.unseen == [], vector
            assert app.seen > 8 * len(sent)
        finally:
            await asyncio.to_thread(proxy.__exit__)
