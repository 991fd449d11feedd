"""`Line`: hears of commits to cached tables, and proves that it has heard of all up to a moment ago.

    trigger     NOTIFY monohull_cache, 'rows <table> <transaction>'      at COMMIT, once a transaction
    heartbeat   NOTIFY <own channel>, '<number>'                         three times within the bound
    hello       NOTIFY monohull_cache, 'hello <token>'                   when a process has begun to listen

PostgreSQL keeps all notifications of a database in one queue, in the order in which their transactions
became visible, and gives them to each listener in that order. A listener that is given its own heartbeat
has so been given every notification of transactions that were visible when the heartbeat was sent. To ask
something (``select 1``) would prove nothing: the server reads its queue when a committing server process
has woken it, which happens after the commit is visible.

What a process has heard of a table is also a version that all processes agree on, without asking each
other: a digest of all that was told of the table since the last hello, in the order that all share. It
names what is kept for all processes, where so nothing has to be counted or undone.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from modules.rest.cache.facts import FINGERPRINT, NO_FACTS, TRIGGER, Facts, read_facts
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.dial import CONNECT_TIMEOUT_SECONDS
from monohull.kernel.database.urls import parse_url
from monohull.kernel.errors import Unavailable
from monohull.kernel.ids import token
from monohull.kernel.observation import SILENT, DependencyBack, DependencyLost, Observer
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from modules.rest.cache.store import Tokens
    from monohull.kernel.database.engine import Database

CHANNEL: Final = "monohull_cache"
MARKS: Final = "marks"
APPLICATION_NAME: Final = "monohull-cache"
DEPENDENCY: Final = "cache"
BEATS: Final = 3
"""So many within the bound."""
LOOK_SECONDS: Final = 60.0
"""How often is looked whether a table was marked, where nothing tells of it."""
FIRST_DELAY_SECONDS: Final = 0.1
LAST_DELAY_SECONDS: Final = 5.0
MAX_TABLES: Final = 10_000
"""Of which something was heard; anybody may say anything on a channel."""

_BEAT: Final = f"select pg_notify($2, $3), ({FINGERPRINT}) as fingerprint"
_TELL: Final = "select pg_notify($1, $2)"
_ANY: Final = f"""
    select exists (
        select from pg_trigger
        where tgname = '{TRIGGER}' and tgfoid = to_regprocedure('monohull.tell_of_rows()')
    ) as has_marks
"""  # noqa: S608 a constant
_LOST: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class Line:
    """Listens for as long as tables are marked.

    Args:
        url: Of the owner; not through PgBouncer in transaction mode.
        has_marks: Asks the database on another connection whether any table is marked.
        bound_seconds: How old an answer may be at most.
        changed: Called when all that is kept has to go.
        observer: Is told when the connection is lost and when it is back.

    Attributes:
        facts: What is known of the marked tables; nothing while nobody listens.
        fresh_until: Monotonic seconds until which every commit that is older than the bound was heard of.
        heard: How many notices of commits came.
    """

    def __init__(
        self,
        url: str,
        has_marks: Callable[[], Awaitable[bool]],
        bound_seconds: float,
        changed: Callable[[], None],
        observer: Observer = SILENT,
    ) -> None:
        self._url = url
        self._has_marks = has_marks
        self._bound = bound_seconds
        self._changed = changed
        self._observer = observer
        self._own = f"{CHANNEL}_{token(16)}"
        self._wanted = asyncio.Event()
        self._came = asyncio.Event()
        self._beat = 0
        self._lost_at: float | None = None
        self._counts: dict[int, int] = {}
        self._epoch = 0
        self._root = b""
        self._versions: dict[int, bytes] = {}
        self._proved_at: float | None = None
        self.facts: Facts = NO_FACTS
        self.fresh_until = float("-inf")
        self.heard = 0

    @property
    def is_fresh(self) -> bool:
        """Whether what is kept may be given out."""
        return monotonic_seconds() < self.fresh_until

    @property
    def age_seconds(self) -> float:
        """How long ago the last heartbeat began that came back; 0 while no table is marked."""
        return 0.0 if self._proved_at is None else monotonic_seconds() - self._proved_at

    def tokens(self, oids: Sequence[int]) -> Tokens:
        """Return what changes, in this process, with anything that outdates answers about these tables."""
        counts = self._counts
        return (self._epoch, *[counts.get(oid, 0) for oid in oids])

    def versions(self, oids: Sequence[int]) -> tuple[bytes, ...]:
        """Return what stands for the same commits to these tables in every process."""
        return tuple(self._versions.get(oid, self._root) for oid in oids)

    def look_again(self) -> None:
        """Take nothing that was known of structure and marks for granted."""
        self._drop()
        self._wanted.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen for as long as the block runs, while tables are marked."""
        async with beside(self._listen_for_ever(), name="cache listener"):
            yield

    async def _listen_for_ever(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                self._wanted.clear()
                if await self._has_marks():
                    await self._listen()
                    delay = FIRST_DELAY_SECONDS
                await self._wait(LOOK_SECONDS)
            except (*_LOST, TimeoutError, Unavailable) as error:
                if self._lost_at is None:
                    self._lost_at = monotonic_seconds()
                    reason = str(error) or type(error).__name__
                    self._observer.observe(DependencyLost(name=DEPENDENCY, reason=reason))
                    delay = FIRST_DELAY_SECONDS
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_DELAY_SECONDS)

    async def _listen(self) -> None:
        """Listen until no table is marked.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The connection was lost.
            TimeoutError: The server did not answer in time.
        """
        connection = await self._connect()
        try:
            connection.add_termination_listener(lambda _: self._end())
            await connection.add_listener(CHANNEL, self._on_notice)
            await connection.add_listener(self._own, self._on_beat)
            await connection.execute(_TELL, CHANNEL, f"hello {token(16)}", timeout=self._patience)
            self._drop()
            await self._read(connection)
            while self.facts.tables:
                await self._prove(connection)
        finally:
            self._end()
            self.facts = NO_FACTS
            self._drop()
            connection.terminate()

    async def _prove(self, connection: asyncpg.Connection[Any]) -> None:
        """Send a heartbeat, and wait for it and for the time of the next."""
        began = monotonic_seconds()
        self._beat += 1
        self._came.clear()
        row = await connection.fetchrow(
            _BEAT, list(self.facts.oids), self._own, str(self._beat), timeout=self._patience
        )
        if row["fingerprint"] != self.facts.fingerprint:
            await self._read(connection)
            return
        async with asyncio.timeout(self._patience):
            await self._came.wait()
        if connection.is_closed():
            raise ConnectionResetError("the server closed the connection")
        self._proved_at = began
        self.fresh_until = began + self._bound
        self._note_back()
        await self._wait(began + self._bound / BEATS - monotonic_seconds())
        if self._wanted.is_set():
            self._wanted.clear()
            await self._read(connection)

    async def _read(self, connection: asyncpg.Connection[Any]) -> None:
        """Read the facts anew; what was kept by the old ones goes."""
        async with asyncio.timeout(self._patience):
            self.facts = await read_facts(connection)
        self._drop()

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._wanted.wait()

    @property
    def _patience(self) -> float:
        """How long the server may take; what is kept is not given out long before that."""
        return max(self._bound, 1.0) * 2

    def _note_back(self) -> None:
        if self._lost_at is not None:
            seconds = monotonic_seconds() - self._lost_at
            self._observer.observe(DependencyBack(name=DEPENDENCY, seconds=seconds))
            self._lost_at = None

    def _end(self) -> None:
        """Prove nothing any more."""
        self.fresh_until = float("-inf")
        self._proved_at = None
        self._came.set()
        self._wanted.set()

    def _drop(self) -> None:
        """Outdate all that is kept."""
        self._epoch += 1
        self._counts.clear()
        self._changed()

    def _on_notice(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        kind, _, rest = str(payload).partition(" ")
        if kind == "rows":
            number, _, _ = rest.partition(" ")
            if not number.isdecimal():
                return
            if len(self._versions) >= MAX_TABLES:
                self._root = _digest(self._root, token(16))  # shares nothing until the next hello
                self._versions.clear()
                self._drop()
            oid = int(number)
            self.heard += 1
            self._counts[oid] = self._counts.get(oid, 0) + 1
            self._versions[oid] = _digest(self._versions.get(oid, self._root), rest)
        elif kind == "hello":
            self._root = _digest(b"", rest)
            self._versions.clear()
        elif kind == MARKS:
            self.look_again()

    def _on_beat(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == str(self._beat):
            self._came.set()

    async def _connect(self) -> Any:
        address = parse_url(self._url)
        arguments = address.connect_arguments()
        arguments["timeout"] = address.connect_timeout_seconds or CONNECT_TIMEOUT_SECONDS
        settings = {**address.server_settings, "application_name": APPLICATION_NAME}
        return await asyncpg.connect(server_settings=settings, **arguments)


async def has_marks(database: Database) -> bool:
    """Say whether any table is marked.

    Raises:
        Unavailable: 503, the database is away.
    """
    row = await database.run(_ANY)
    return row is not None and bool(row["has_marks"])


def _digest(before: bytes, told: str) -> bytes:
    return blake2b(before + told.encode("utf-8", "replace"), digest_size=16).digest()
