"""``LISTEN`` on a connection of its own, for as long as the process runs.

A notification is lost when nobody is connected. So whoever listens is also
called, with the payload None, each time the connection is made again: something
may have happened meanwhile, look for yourself.

Between two notifications the connection has nothing to do, so it is lent to who
looks: a new one would cost milliseconds of the event loop, since TLS is prepared
for each, and a new process on the server.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import asyncpg

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.dial import CONNECT_TIMEOUT_SECONDS, keep_alive
from monohull.kernel.database.urls import parse_url
from monohull.kernel.observation import SILENT, DependencyBack, DependencyLost, Observer
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    Callback: TypeAlias = Callable[[str | None], None]

DEPENDENCY: Final = "listener"
FIRST_DELAY_SECONDS: Final = 0.1
LAST_DELAY_SECONDS: Final = 5.0
PING_SECONDS: Final = 30.0
"""A connection on which nothing happens is asked this often whether it is still there."""
LEND_SECONDS: Final = 2.0
"""How long it may take to answer before it is lent. One that takes longer is given up."""

_LOST: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Listener:
    """Calls somebody for each notification on a channel.

    Args:
        url: Any login may listen; ``postgresql://``. Not through PgBouncer in transaction mode.
        callbacks: By channel. Called with the payload, or None after a gap. Must not block.
        application_name: Seen in ``pg_stat_activity``.
        observer: Is told when the connection is lost and when it is back.
    """

    def __init__(
        self,
        url: str,
        callbacks: Mapping[str, Callback],
        *,
        application_name: str = "monohull-listen",
        observer: Observer = SILENT,
    ) -> None:
        self._url = url
        self._callbacks = dict(callbacks)
        self._application_name = application_name
        self._observer = observer
        self._lost_at: float | None = None
        self._was_connected = False
        self._connected = asyncio.Event()
        self._connection: asyncpg.Connection[Any] | None = None
        self._in_use = asyncio.Lock()

    @property
    def is_connected(self) -> bool:
        """Whether notifications arrive at present."""
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        """Return once notifications arrive."""
        await self._connected.wait()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[asyncpg.Connection[Any] | None]:
        """Lend the connection for one transaction; None while there is none that answers.

        Notifications wait until the transaction has ended, so it should be short. Whoever has it must leave
        it as it was: ``SET LOCAL``, and no ``LISTEN`` of their own.
        """
        async with self._in_use:
            connection = self._connection
            if connection is not None:
                try:
                    await connection.execute("select 1", timeout=LEND_SECONDS)
                except _LOST:
                    connection.terminate()
                    connection = None
            yield connection

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen for as long as the block runs, through any number of reconnects."""
        async with beside(self._listen_for_ever(), name="database listener"):
            yield self

    async def _listen_for_ever(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                await self._listen()
            except _LOST as error:
                if self._lost_at is None:
                    self._lost_at = monotonic_seconds()
                    self._observer.observe(
                        DependencyLost(name=DEPENDENCY, reason=str(error) or type(error).__name__)
                    )
                    delay = FIRST_DELAY_SECONDS
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY_SECONDS)

    async def _listen(self) -> None:
        """Listen until the connection ends."""
        connection = await self._connect()
        ended = asyncio.Event()
        try:
            keep_alive(connection)  # while it is lent nobody pings
            connection.add_termination_listener(lambda _: ended.set())
            for channel in self._callbacks:
                await connection.add_listener(channel, self._on_notification)
            self._connection = connection
            self._welcome()
            while not ended.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(PING_SECONDS):
                        await ended.wait()
                if not ended.is_set() and not self._in_use.locked():
                    async with self._in_use:
                        await connection.execute("select 1", timeout=CONNECT_TIMEOUT_SECONDS)
            raise ConnectionResetError("the server closed the connection")
        finally:
            self._connected.clear()
            self._connection = None
            connection.terminate()

    async def _connect(self) -> Any:
        address = parse_url(self._url)
        arguments = address.connect_arguments()
        arguments["timeout"] = address.connect_timeout_seconds or CONNECT_TIMEOUT_SECONDS
        settings = {**address.server_settings, "application_name": self._application_name}
        return await asyncpg.connect(server_settings=settings, statement_cache_size=0, **arguments)

    def _welcome(self) -> None:
        """Note that notifications arrive; after a gap, say so to everybody who listens."""
        if self._lost_at is not None:
            self._observer.observe(
                DependencyBack(name=DEPENDENCY, seconds=monotonic_seconds() - self._lost_at)
            )
            self._lost_at = None
        if self._was_connected:
            for callback in self._callbacks.values():
                callback(None)
        self._was_connected = True
        self._connected.set()

    def _on_notification(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._callbacks[channel](str(payload))
