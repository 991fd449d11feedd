"""A server of NATS that refuses, or says nothing: an error, and no socket left open."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest
from nats.errors import Error

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.nats_connection import open_nats
from tests.integration.kernel.test_outbound import certificate
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Nats

GREETING: Final = b'INFO {"server_id":"x","version":"2.10.0","auth_required":true,"max_payload":1000}\r\n'


async def quiet(_: Exception) -> None:
    """What is raised is enough."""


class Server:
    """Says its greeting, and its answer when the client has spoken; waits for the client to leave."""

    def __init__(self, greeting: bytes = b"", answer: bytes = b"") -> None:
        self._greeting, self._answer = greeting, answer
        self.spoken_to = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._greeting)
        if self._answer:
            await reader.readuntil(b"PING\r\n")
            writer.write(self._answer)
        while await reader.read(1000):
            self.spoken_to.set()
        self.left.set()
        writer.close()

    async def run(self) -> tuple[asyncio.Server, str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return server, f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("server_says", "error"),
    [
        ((GREETING, b"-ERR 'Authorization Violation'\r\n"), Error),
        ((b"HTTP/1.1 400 Bad Request\r\n", b""), Error),
        ((b"", b""), TimeoutError),
    ],
    ids=["refuses", "speaks something else", "is silent"],
)
async def test_what_fails_leaves_nothing_open(
    server_says: tuple[bytes, bytes], error: type[Exception]
) -> None:
    told = Server(*server_says)
    seconds = 1 if error is TimeoutError else PATIENCE_SECONDS
    server, url = await told.run()
    async with server:
        # what was caught keeps the client alive, which else would be closed for want of owners
        with pytest.raises(error) as caught:
            await open_nats(url, name="t", token="wrong", timeout_seconds=seconds, on_error=quiet)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await told.left.wait()
    assert caught.value is not None


async def test_whoever_is_told_to_stop_leaves_nothing_open() -> None:
    told = Server(GREETING)
    server, url = await told.run()
    async with server:
        opening = asyncio.create_task(
            open_nats(url, name="t", token=None, timeout_seconds=60, on_error=quiet)
        )
        await told.spoken_to.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await opening
        async with asyncio.timeout(PATIENCE_SECONDS):
            await told.left.wait()
    assert caught.value is not None


async def test_a_server_that_is_silent_behind_tls_is_not_waited_for(tmp_path: Path) -> None:
    """It would have the time to say goodbye, half a minute."""
    context, trusting = certificate(tmp_path, "localhost")
    let_go, is_secured = threading.Event(), threading.Event()

    def speak(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        with suppress(OSError):  # who has waited too long for TLS itself is gone
            connection.sendall(GREETING.replace(b'"auth_required"', b'"tls_required"'))
            with context.wrap_socket(connection, server_side=True):
                is_secured.set()
                let_go.wait(PATIENCE_SECONDS)

    async def waited_for(seconds: float) -> float:
        let_go.clear()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            speaking = asyncio.create_task(asyncio.to_thread(speak, listener))
            url = f"tls://localhost:{listener.getsockname()[1]}"
            since = monotonic_seconds()
            with pytest.raises(TimeoutError):
                await open_nats(
                    url, name="t", token="x", timeout_seconds=seconds, on_error=quiet, tls=trusting
                )
            waited = monotonic_seconds() - since
            let_go.set()
            await speaking
        return waited

    waited = await waited_for(1)
    if not is_secured.is_set():
        waited = await waited_for(10)
    assert is_secured.is_set()
    assert waited < 25


async def test_no_url_is_told_as_such() -> None:
    with pytest.raises(Error, match="connect url"):
        await open_nats("nats://127.0.0.1:no", name="t", token=None, timeout_seconds=1, on_error=quiet)


async def test_a_real_one(request: pytest.FixtureRequest) -> None:
    broker: Nats = request.getfixturevalue("nats")
    client = await open_nats(broker.url, name="t", token=None, timeout_seconds=30, on_error=quiet)
    assert client.is_connected
    await client.close()
    wrong = broker.url.replace(broker.password, "wrong")
    with pytest.raises(Error, match="Authorization"):
        await open_nats(wrong, name="t", token=None, timeout_seconds=30, on_error=quiet)
