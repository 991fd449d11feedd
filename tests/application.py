"""The whole application in the test's own event loop, against real services."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from monohull.kernel.app import Application, build_app
from monohull.kernel.configuration import load
from monohull.kernel.keys import legacy_key
from monohull.kernel.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

JWT_SECRET: Final = "a-secret-for-tests-only-0123456789-abcdefghij"


class Served(Struct, frozen=True):
    """A running application and a client that speaks to it."""

    app: Application
    client: httpx.AsyncClient

    @property
    def runtime(self) -> Runtime:
        return self.app.runtime


def anon_key() -> str:
    """The publishable JWT that clients send as ``apikey``."""
    return legacy_key(JWT_SECRET, "anon")


def service_key() -> str:
    """The secret JWT that bypasses row security."""
    return legacy_key(JWT_SECRET, "service_role")


def on_database(url: str, name: str) -> str:
    """Return ``url`` with another database name."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@asynccontextmanager
async def running_app(connections: Connections, **settings: str) -> AsyncIterator[Served]:
    """Serve with ``settings`` given as ``rest_max_rows="10"``.

    Everything is real but the HTTP server: the client hands its requests to
    the ASGI application.
    """
    environ = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}
    environ["MONOHULL_POOL_TIMEOUT_SECONDS"] = "60"  # on a busy machine some wait long for their turn
    environ |= {f"MONOHULL_{name.upper()}": value for name, value in settings.items()}
    loaded = load(environ, project=Path("/"))
    runtime = Runtime(loaded.settings, loaded.modules, connections, process="api")
    app = build_app(runtime, loaded.modules)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield Served(app, client)


@asynccontextmanager
async def lifespan(app: Application) -> AsyncIterator[None]:
    """Start and stop ``app`` by the ASGI protocol, in a task of its own as a server does."""
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan"}, inbox.get, outbox.put))
    try:
        await inbox.put({"type": "lifespan.startup"})
        started = await outbox.get()
        assert started["type"] == "lifespan.startup.complete", started
        yield
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        await task
    stopped = await outbox.get()
    assert stopped["type"] == "lifespan.shutdown.complete", stopped
