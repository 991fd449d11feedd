"""`LiveCatalog`: the catalog now, and how it is replaced.

The next catalog is built beside the current one, in slices between requests, and
swapped in as a whole; who holds the old one finishes with it. When nothing
changed the old one stays, and with it every statement compiled from it. It is
read again

- when somebody says ``NOTIFY pgrst, 'reload schema'``, or nothing but ``NOTIFY pgrst``. Where the owner may
  have event triggers, `monohull.kernel.database.ddl` says so after every change of the structure,
- when the connection that listens was lost and is back, since a notification may have been missed,
- when a request names something unknown: DDL may come from anywhere.

Many reasons at once are one read: the first starts it at once, those that come
meanwhile wait for the next one together, after a pause.

While the database is away the old catalog goes on serving; before there is a
first one, `current` refuses with 503.

Source of the channel and its payloads: PostgREST, "Schema Cache Reloading".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import ReferenceType, WeakKeyDictionary, ref

import asyncpg
from asyncpg import Connection

from modules.query.errors import CatalogMissing
from modules.query.introspect import introspect
from modules.query.settings import CatalogSettings
from modules.query.steps import in_slices
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database import ddl
from monohull.kernel.database.engine import is_away
from monohull.kernel.database.listen import Listener
from monohull.kernel.errors import Unavailable
from monohull.kernel.observation import SILENT, Level, Observation, Observer
from monohull.kernel.tasks import beside, end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query.catalog import Catalog, Relation
    from modules.query.columns import Key
    from modules.query.steps import Steps
    from monohull.kernel.runtime import Runtime

RELOADS: Final = frozenset({None, "", "reload schema"})
"""None is the listener's word for: I was away, look for yourself."""
RECONFIGURES: Final = frozenset({None, "", "reload config"})
RETRY_SECONDS: Final = 1.0
LISTEN_FIRST_SECONDS: Final = 0.2
"""How long the first read waits for the listener. Where that takes longer, the catalog is read once more."""
FIRST_READ_SECONDS: Final = 5.0
"""How long a start waits for the first catalog. A database that refuses does so at once."""

PAUSE_SHARE: Final = 2.0
"""After a read follows a pause so many times as long, within the bounds below."""
SHORTEST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 1.0

FEW: Final = 100
"""So many parts of an old catalog are freed in no time."""

MIN_INTERVAL_SECONDS: Final = 2.0
"""Shortest time between two reads that requests cause: nobody must keep us busy by asking for nonsense."""

_UNREADABLE: Final = (
    Unavailable,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

Connect = Callable[[], AbstractAsyncContextManager["Connection[Any]"]]


class CatalogLoaded(Observation, frozen=True, kw_only=True):
    """The structure of the database was read. Where nothing changed, the old catalog stays in use."""

    event: ClassVar[str] = "catalog.loaded"

    relations: int
    columns: int
    relationships: int
    routines: int
    is_changed: bool
    duration_seconds: float


class CatalogUnreadable(Observation, frozen=True, kw_only=True):
    """The structure could not be read; the catalog before it, if any, is still in use."""

    event: ClassVar[str] = "catalog.unreadable"
    level: ClassVar[Level] = "warning"

    reason: str


class LiveCatalog:
    """Holds the current catalog and keeps it fresh.

    Args:
        connect: Opens a connection for one read of the system catalogs, while nothing listens. Otherwise
            they are read through the connection that listens.
        listen_url: Where to LISTEN, with any login.
        observer: Told of every read.
        channel: What to listen to; None for nothing.

    Attributes:
        now: The catalog; None before there was one.
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
        callbacks = {} if channel is None else {ddl.CHANNEL: self._on_ddl, channel: self._on_notification}
        self._listener = Listener(listen_url, callbacks, observer=observer)
        self._reconfigured: list[Callable[[], None]] = []
        self._restructured: list[Callable[[], None]] = []
        self._retyped: list[Callable[[], None]] = []
        self._observer = observer
        self.now: Catalog | None = None
        self._wanted = asyncio.Event()
        self._tried = asyncio.Event()
        self._tried_again = asyncio.Condition()
        self._read_at = float("-inf")
        self._asked = 1
        self._answered = 0
        self._reads = 0
        self._is_deaf = self._is_away = False
        self._leaving: set[asyncio.Task[None]] = set()

    def current(self) -> Catalog:
        """Return the catalog.

        Raises:
            CatalogMissing: 503, there has been none yet.
        """
        if self.now is None:
            raise CatalogMissing
        return self.now

    @property
    def reads(self) -> int:
        """How often the structure was read; what is made of it and of grants is outdated by the next time."""
        return self._reads

    def on_reconfigured(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the configuration in the database may have changed."""
        self._reconfigured.append(callback)

    def on_restructured(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when somebody says that the structure of the database has changed."""
        self._restructured.append(callback)

    def on_retyped(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when a column is gone or has another type than in the catalog before."""
        self._retyped.append(callback)

    def request_reload(self) -> None:
        """Have the catalog read again soon."""
        self._asked += 1
        self._wanted.set()

    def suspect(self) -> bool:
        """Say whether a newer catalog is to be had soon, because this one may be out of date.

        A read that is due or under way will do. Otherwise one is asked for, unless the last one was a moment
        ago or the database is away.
        """
        if self._is_away:
            return False
        if self._answered == self._asked:
            if monotonic_seconds() - self._read_at < MIN_INTERVAL_SECONDS:
                return False
            self.request_reload()
        return True

    async def refreshed(self, stale: Catalog, *, timeout_seconds: float = 3.0) -> Catalog:
        """Return a newer catalog than ``stale`` if one can be had in time, else the current one."""
        if self.current() is stale and self.suspect():
            asked = self._asked
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds), self._tried_again:
                    await self._tried_again.wait_for(lambda: self._answered >= asked or self._is_away)
        return self.current()

    async def probe(self) -> str | None:
        """Answer the readiness check."""
        return None if self.now is not None else "the structure of the database was not read yet"

    @asynccontextmanager
    async def running(self, *, is_patient: bool = False) -> AsyncIterator[None]:
        """Keep the catalog fresh while the block runs; it begins when a first read was tried.

        Args:
            is_patient: Wait for the first read as long as it takes, as a command does that can do
                nothing without; a server begins after `FIRST_READ_SECONDS` and says that it is not ready.
        """
        async with (
            self._listener.running(),
            beside(self._keep(), name="catalog"),
            beside(self._reload_once_listening(), name="catalog, late listener"),
        ):
            with suppress(TimeoutError):
                async with asyncio.timeout(None if is_patient else FIRST_READ_SECONDS):
                    await self._tried.wait()
            try:
                yield
            finally:
                await asyncio.gather(*map(end, self._leaving), return_exceptions=True)

    async def _keep(self) -> None:
        """Read at once, again until it works, and then on demand."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_FIRST_SECONDS):
                await self._listener.wait_connected()
        self._is_deaf = not self._listener.is_connected
        while True:
            self._wanted.clear()
            asked, started = self._asked, monotonic_seconds()
            try:
                async with self._connection() as connection:
                    catalog = await introspect(connection, self.now)
            except _UNREADABLE as error:
                self._observer.observe(CatalogUnreadable(reason=str(error)))
                await self._tell(is_away=not isinstance(error, asyncpg.PostgresError) or is_away(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            duration = monotonic_seconds() - started
            self._answered = asked
            self._replace(catalog, duration)
            del catalog  # what is old tomorrow must not be kept by this
            await self._tell(is_away=False)
            await asyncio.sleep(
                min(max(PAUSE_SHARE * duration, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            )
            await self._wanted.wait()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection[Any]]:
        """Lend the connection that listens, or one of its own where that is not there."""
        async with self._listener.lent() as connection:
            if connection is not None:
                yield connection
                return
        async with self._connect() as connection:
            yield connection

    async def _reload_once_listening(self) -> None:
        """Read again what may have changed between the first read and the first moment of listening."""
        await self._listener.wait_connected()
        if self._is_deaf:
            self.request_reload()

    def _on_notification(self, payload: str | None) -> None:
        if payload in RELOADS:
            self._on_change()
        if payload in RECONFIGURES:
            for callback in self._reconfigured:
                callback()

    def _on_ddl(self, payload: str | None) -> None:
        """Hear our own trigger where the operator has chosen another channel."""
        if payload == ddl.PAYLOAD:
            self._on_change()

    def _on_change(self) -> None:
        self.request_reload()
        for callback in self._restructured:
            callback()

    async def _tell(self, *, is_away: bool) -> None:
        """Wake those who wait for a read to succeed or fail."""
        self._is_away = is_away
        self._tried.set()
        async with self._tried_again:
            self._tried_again.notify_all()

    def _replace(self, catalog: Catalog, duration_seconds: float) -> None:
        before, self.now = self.now, catalog
        if before is not None and are_retyped(before.relations, catalog.relations):
            for callback in self._retyped:
                callback()
        self._read_at = monotonic_seconds()
        self._reads += 1
        self._observer.observe(
            CatalogLoaded(
                relations=len(catalog.relations),
                columns=sum(len(relation.columns) for relation in catalog.relations.values()),
                relationships=sum(len(ways) for ways in catalog.relationships.values()),
                routines=sum(len(overloads) for overloads in catalog.routines.values()),
                is_changed=catalog is not before,
                duration_seconds=round(duration_seconds, 6),
            )
        )
        if before is not None and len(parts := outdated(before, catalog)) > FEW:
            task = asyncio.create_task(let_go(parts, *end_of(before)), name="catalog, old parts")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)


def are_retyped(before: Mapping[Key, Relation], now: Mapping[Key, Relation]) -> bool:
    """Say whether a column of ``before`` is gone, or has another type."""
    for key, old in before.items():
        new = now.get(key)
        if new is None:
            return True
        if new is not old and not _types(old).items() <= _types(new).items():
            return True
    return False


def _types(relation: Relation) -> dict[str, str]:
    columns = relation.stored or relation.columns
    return {name: column.type for name, column in columns.items()}


def outdated(before: Catalog, now: Catalog) -> list[object]:
    """Return the parts of ``before`` that ``now`` does not share."""
    kinds: tuple[tuple[Mapping[Any, object], Mapping[Any, object]], ...] = (
        (before.relations, now.relations),
        (before.relationships, now.relationships),
        (before.routines, now.routines),
    )
    return [part for old, new in kinds for key, part in old.items() if new.get(key) is not part]


def end_of(catalog: Catalog) -> tuple[asyncio.Event, ReferenceType[Catalog]]:
    """Return what is set when nobody uses ``catalog`` any more, and what has to be kept until then."""
    gone, loop = asyncio.Event(), asyncio.get_running_loop()
    return gone, ref(catalog, lambda _: loop.call_soon_threadsafe(gone.set))


async def let_go(parts: list[object], gone: asyncio.Event, _: ReferenceType[Catalog]) -> None:
    """Free the parts of an old catalog one by one.

    All at once they would take tens of milliseconds of whoever is the last to use it.
    """

    def steps() -> Steps[None]:
        while parts:
            parts.pop()
            yield

    await gone.wait()
    await in_slices(steps())


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
        # a connection keeps what it found a parameter to be when the column that it meets was another
        live.on_retyped(runtime.data.forget_statements)
    return live
