"""`LiveCatalog`: the catalog now, and how it is replaced.

The next catalog is built beside the current one and swapped in as a whole; who
holds the old one finishes with it. It is read again

- when somebody says ``NOTIFY pgrst, 'reload schema'``, or nothing but ``NOTIFY pgrst``,
- when the connection that listens was lost and is back, since a notification may have been missed,
- when a request names something unknown: DDL may come from anywhere.

While the database is away the old catalog goes on serving; before there is a
first one, `current` refuses with 503.

Source of the channel and its payloads: PostgREST, "Schema Cache Reloading".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakKeyDictionary

import asyncpg
from asyncpg import Connection

from modules.query.errors import CatalogMissing
from modules.query.introspect import introspect
from modules.query.settings import CatalogSettings
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.listen import Listener
from monohull.kernel.errors import Unavailable
from monohull.kernel.observation import SILENT, Level, Observation, Observer

if TYPE_CHECKING:
    from modules.query.catalog import Catalog
    from monohull.kernel.runtime import Runtime

RELOADS: Final = frozenset({None, "", "reload schema"})
"""None is the listener's word for: I was away, look for yourself."""
RECONFIGURES: Final = frozenset({None, "", "reload config"})
RETRY_SECONDS: Final = 1.0
FIRST_READ_SECONDS: Final = 5.0
"""How long a start waits for the first catalog. A database that refuses does so at once."""

MIN_INTERVAL_SECONDS: Final = 2.0
"""Shortest time between two reads that requests cause: nobody must keep us busy by asking for nonsense."""

Connect = Callable[[], AbstractAsyncContextManager["Connection[Any]"]]


class CatalogLoaded(Observation, frozen=True, kw_only=True):
    """The structure of the database was read."""

    event: ClassVar[str] = "catalog.loaded"

    relations: int
    relationships: int
    duration_seconds: float


class CatalogUnreadable(Observation, frozen=True, kw_only=True):
    """The structure could not be read; the catalog before it, if any, is still in use."""

    event: ClassVar[str] = "catalog.unreadable"
    level: ClassVar[Level] = "warning"

    reason: str


class LiveCatalog:
    """Holds the current catalog and keeps it fresh.

    Args:
        connect: Opens a connection for one read of the system catalogs.
        listen_url: Where to LISTEN, with any login.
        observer: Told of every read.
        channel: What to listen to; None for nothing.
    """

    def __init__(
        self,
        connect: Connect,
        listen_url: str,
        observer: Observer = SILENT,
        *,
        channel: str | None = "pgrst",
    ) -> None:
        self._connect = connect
        callbacks = {channel: self._on_notification} if channel is not None else {}
        self._listener = Listener(listen_url, callbacks, observer=observer)
        self._reconfigured: list[Callable[[], None]] = []
        self._observer = observer
        self._current: Catalog | None = None
        self._wanted = asyncio.Event()
        self._tried = asyncio.Event()
        self._loaded = asyncio.Condition()
        self._read_at = float("-inf")
        self._reads = 0

    def current(self) -> Catalog:
        """Return the catalog.

        Raises:
            CatalogMissing: 503, there has been none yet.
        """
        if self._current is None:
            raise CatalogMissing
        return self._current

    def on_reconfigured(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the configuration in the database may have changed."""
        self._reconfigured.append(callback)

    def request_reload(self) -> None:
        """Have the catalog read again soon."""
        self._wanted.set()

    def suspect(self) -> bool:
        """Have it read again because it may be out of date; False when it was read a moment ago."""
        if monotonic_seconds() - self._read_at < MIN_INTERVAL_SECONDS:
            return False
        self._wanted.set()
        return True

    async def refreshed(self, stale: Catalog, *, timeout_seconds: float = 2.0) -> Catalog:
        """Return a newer catalog than ``stale`` if one can be had in time, else the current one."""
        if self.current() is not stale:
            return self.current()
        before = self._reads
        if self.suspect():
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds), self._loaded:
                    await self._loaded.wait_for(lambda: self._reads > before)
        return self.current()

    async def probe(self) -> str | None:
        """Answer the readiness check."""
        return None if self._current is not None else "the structure of the database was not read yet"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the catalog fresh while the block runs; it begins when a first read was tried."""
        async with self._listener.running():
            tasks = [
                asyncio.create_task(self._keep(), name="catalog"),
                asyncio.create_task(self._reload_once_listening(), name="catalog, late listener"),
            ]
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_READ_SECONDS):
                    await self._tried.wait()
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self) -> None:
        """Read at once, again until it works, and then on demand."""
        while True:
            self._wanted.clear()
            try:
                async with self._connect() as connection:
                    await self._read(connection)
            except (Unavailable, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._observer.observe(CatalogUnreadable(reason=str(error)))
                self._tried.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._tried.set()
            await self._wanted.wait()

    async def _reload_once_listening(self) -> None:
        """Read again what may have changed between the first read and the first moment of listening."""
        await self._listener.wait_connected()
        if self._current is not None:
            self._wanted.set()

    def _on_notification(self, payload: str | None) -> None:
        if payload in RELOADS:
            self._wanted.set()
        if payload in RECONFIGURES:
            for callback in self._reconfigured:
                callback()

    async def _read(self, connection: Connection[Any]) -> None:
        started = monotonic_seconds()
        catalog = await introspect(connection)
        self._current = catalog
        self._read_at = monotonic_seconds()
        self._reads += 1
        async with self._loaded:
            self._loaded.notify_all()
        self._observer.observe(
            CatalogLoaded(
                relations=len(catalog.relations),
                relationships=sum(len(ways) for ways in catalog.relationships.values()),
                duration_seconds=round(monotonic_seconds() - started, 6),
            )
        )


_BY_RUNTIME: WeakKeyDictionary[Runtime, LiveCatalog] = WeakKeyDictionary()


def live_catalog(runtime: Runtime) -> LiveCatalog:
    """Return the one catalog of a process, which all its front ends share."""
    live = _BY_RUNTIME.get(runtime)
    if live is None:
        settings = runtime.settings.of(CatalogSettings)
        live = _BY_RUNTIME[runtime] = LiveCatalog(
            runtime.database.connection,
            runtime.connections.owner_url,
            runtime.observer,
            channel=settings.channel if settings.channel_enabled else None,
        )
    return live
