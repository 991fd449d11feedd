"""What a worker process does with the socket that it is given."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest
import uvloop
from granian._granian import ListenerSpec

from monohull.kernel.server.worker import ASKS, SILENT_SECONDS, _listener
from tests.integration.cli.serving import free_port
from tests.patience import eventually


class Accepting(asyncio.Protocol):
    """Notes what the sockets of its connections have."""

    found: list[tuple[int, int]]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        mine = transport.get_extra_info("socket")
        asks = mine.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        self.found.append((asks, mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)))


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems name and inherit these in ways of their own"
)
def test_clients_that_vanish_are_noticed() -> None:
    """Nobody else notices: a request whose body may take as long as it likes waits for ever."""
    Accepting.found = []

    async def accept() -> None:
        port = free_port()
        listener = _listener((ListenerSpec("127.0.0.1", port, 16), None))
        server = await asyncio.get_running_loop().create_server(Accepting, sock=listener)
        with socket.create_connection(("127.0.0.1", port)):
            await eventually(lambda: Accepting.found)
        server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(accept())
    assert Accepting.found == [(1, SILENT_SECONDS)]
    assert all(hasattr(socket, name) for name, _ in ASKS)
