"""What a worker process does: the application's lifespan, and between its ends the connections.

Granian's main process starts it in place of its own (`Server.serve` takes a
target), with the address to listen on. In the end it stops listening, closes
idle connections, and tells the application, which drains; every answer on the
way closes its connection.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from granian.asgi import LifespanProtocol
from granian.server.mp import WorkerProcess

from monohull.kernel.server.connection import Connections
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from monohull.kernel.asgi import ASGIApp

BACKLOG: Final = 1024
FLUSH_SECONDS: Final = 3.0
"""For answers that are written to leave the process."""
SILENT_SECONDS: Final = 60
"""Then the system asks a client whether it is still there, and gives it up after a few times without an
answer: one that vanished in the midst of its body would else be waited for until the process stops.
"""
ASKS: Final = (("TCP_KEEPIDLE", SILENT_SECONDS), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Not every system lets all of this be said."""
_BACKPRESSURE: Final = 5
"""Where Granian's arguments after the loop have it."""


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
def serve_worker(
    worker_id: int,  # noqa: ARG001 these are Granian's
    callback: ASGIApp,
    sock: Any,
    ipc: Any,  # noqa: ARG001
    loop: asyncio.AbstractEventLoop,
    *options: Any,
) -> None:
    """Serve until a signal; leave with 1 when the application does not start."""
    most: int = options[_BACKPRESSURE]
    listener = _listener(sock)
    lifespan: Any = LifespanProtocol(callback)  # type: ignore[no-untyped-call]
    loop.run_until_complete(_serve(callback, lifespan, listener, most))


def _listener(sock: Any) -> socket.socket:
    """Return the socket to listen on: each process has its own on Linux, elsewhere they share one."""
    spec, holder = sock
    holder = holder or spec.build()
    listener = socket.socket(fileno=holder.get_fd())
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a connection has what its listener has
    for name, value in ASKS:
        if (option := getattr(socket, name, None)) is not None and listener.family != socket.AF_UNIX:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
    return listener


async def _serve(app: ASGIApp, lifespan: Any, listener: socket.socket, most: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await lifespan.startup()
    if lifespan.interrupt:
        sys.stderr.write(f"the application did not start: {lifespan.exc}\n")
        raise SystemExit(1)
    connections = Connections(app, most=most)
    server = await loop.create_server(connections.connect, sock=listener, backlog=BACKLOG)
    async with beside(connections.sweep_for_ever(), name="connections"):
        await stop.wait()
        with suppress(OSError):
            server.close()
        connections.stop()
        await lifespan.shutdown()
        await connections.closed(FLUSH_SECONDS)
