"""Many things, each led for by one process, and all of them spread over the processes that can.

    class Sinks(Claims[Delivering]): ...    # says what there is, and how one is begun

    async with Sinks(database, name="streams", channel="monohull_streams").running(): ...

One connection of a process holds an advisory lock for each thing that it leads for, and looks for changed
ones once a second. When it is lost, so are the locks: the work ends here, and another process, or this one,
goes on. Two that overlap for a moment do the same work twice, which whoever claims has to bear.

**Spread.** Who claims holds a lock together with all others that do, so that each sees how many they are.
It takes no more than its share, and more only of what nobody else has taken for some looks. Who could do
more than it got wishes so, with another lock, and those that have more than their share give something up
while somebody wishes. So a worker that starts gets its part within seconds, and nothing moves otherwise.
All of it is read from ``pg_locks``: there is no row that could be out of date.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Protocol, TypeVar

from msgspec import Struct

from monohull.kernel.feed_reader import lock_of
from monohull.kernel.leadership import KEEPALIVE, POLL_SECONDS
from monohull.kernel.tasks import beside, end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping
    from uuid import UUID

    import asyncpg

    from monohull.kernel.database.engine import Database

TIMEOUT_SECONDS: Final = 60.0
"""A connection on which one look takes so long is given up."""
PATIENCE_LOOKS: Final = 3
"""What nobody took for so many looks is taken by whoever sees it, whatever it has already."""

_TRY: Final = "select pg_try_advisory_lock($1)"
_FREE: Final = "select pg_advisory_unlock($1)"
_JOIN: Final = "select pg_try_advisory_lock_shared($1)"
_LEAVE: Final = "select pg_advisory_unlock_shared($1)"
_HELD: Final = """
    select pid, (classid::bigint << 32) | objid::bigint as lock, pid = pg_backend_pid() as is_own
    from pg_locks
    where locktype = 'advisory' and granted and objsubid = 1
        and database = (select oid from pg_database where datname = current_database())
        and ((classid::bigint << 32) | objid::bigint) = any ($1::bigint[])
"""


class Work(Protocol):
    """What is done for one thing, by the process that leads for it."""

    @property
    def revision(self) -> int:
        """Of the thing that this was made of."""

    async def run(self) -> None:
        """Do it, for ever."""


W = TypeVar("W", bound=Work)


class Others(Struct, frozen=True, kw_only=True):
    """What the other processes that claim hold.

    Attributes:
        held: For each of them, by its process id at the server, the locks that it holds.
        wish: Whether one of them could do more than it got.
    """

    held: Mapping[int, frozenset[int]]
    wish: bool = False

    def is_held(self, lock: int) -> bool:
        """Whether one of them leads for what has this lock."""
        return any(lock in locks for locks in self.held.values())


class Share(Struct, frozen=True):
    """What falls to each: ``floor`` to all, and one more to some where it cannot be parted evenly."""

    floor: int
    most: int

    @classmethod
    def of(cls, things: int, processes: int) -> Share:
        """Part ``things``.

        >>> Share.of(7, 3), Share.of(6, 3), Share.of(1, 2)
        (Share(floor=2, most=3), Share(floor=2, most=2), Share(floor=0, most=1))
        """
        return cls(things // processes, -(-things // processes))

    def limit(self, *, others_wish: bool) -> int:
        """Return up to how many are taken without waiting whether somebody else takes them."""
        return self.floor if others_wish else self.most

    def surplus(self, own: int, others: Iterable[int]) -> int:
        """Return how many of its ``own`` a process gives up when one of ``others`` wishes for more.

        >>> [Share(2, 3).surplus(own, [1, 3]) for own in (2, 3, 4, 7)]
        [0, 1, 1, 4]
        >>> Share(2, 3).surplus(3, [2, 3])
        0
        """
        if own > self.most:
            return own - self.most
        return int(own > self.floor > min(others, default=own))

    def is_wish(self, own: int, others: Iterable[int]) -> bool:
        """Whether a process with its ``own`` is to have some of what ``others`` hold beyond their share.

        >>> share = Share(2, 3)
        >>> share.is_wish(1, [3, 3]), share.is_wish(2, [3, 3]), share.is_wish(2, [4, 1])
        (True, False, True)
        """
        bound = self.floor if own < self.floor else self.most
        return own < bound and any(other > bound for other in others)


class Claims(ABC, Generic[W]):
    """The things of one kind that this process leads for.

    Args:
        database: Where they are; gives the connection that holds the locks.
    """

    name: ClassVar[str]
    """What things of this kind are called; with ``.`` and the id behind it, the name of a thing's lock."""
    channel: ClassVar[str]
    """What is notified when a thing was made or changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: dict[UUID, tuple[W, asyncio.Task[None]]] = {}
        self._unable: dict[UUID, int] = {}
        self._missed: dict[UUID, int] = {}
        self._wake = asyncio.Event()
        self._wishes = False

    # --- what a kind says --------------------------------------------------------------------

    @abstractmethod
    async def wanted(self, connection: asyncpg.Connection) -> Mapping[UUID, int]:
        """Return what is to be led for, each with its revision."""

    @abstractmethod
    async def begin(self, connection: asyncpg.Connection, thing_id: UUID) -> W | None:
        """Return the work for a thing as it is now; None when it is gone, or not to be done here."""

    @abstractmethod
    def led(self, thing_id: UUID) -> None:
        """Observe that this process leads for a thing."""

    @abstractmethod
    def stalled(self, error: BaseException) -> None:
        """Observe what ended the work of one thing, or a look at all."""

    async def held(self, connection: asyncpg.Connection) -> None:
        """Do what is to be done when the connection was made."""

    async def looked(self, connection: asyncpg.Connection) -> None:
        """Do what is to be done after each look."""

    # --- what is the same for all ------------------------------------------------------------

    @property
    def works(self) -> Collection[W]:
        """What this process leads for."""
        return [work for work, _ in self._running.values()]

    def lock(self, thing_id: UUID) -> int:
        """Return the key of the lock under which a thing is led for."""
        return lock_of(f"{self.name}.{thing_id}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Lead for what falls to this process for as long as the block runs."""
        async with beside(self.run(), name=self.name):
            yield

    async def run(self) -> None:
        """Claim, and do the work of what was claimed, for ever."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await self._hold(connection)
            except Exception as error:  # noqa: BLE001 the boundary: nobody else would claim in this process
                self.stalled(error)
            await asyncio.sleep(POLL_SECONDS)

    async def _hold(self, connection: asyncpg.Connection) -> None:
        await connection.execute(KEEPALIVE)
        await connection.add_listener(self.channel, self._on_change)
        connection.add_termination_listener(self._on_change)
        await self.held(connection)
        self._wishes = False
        await connection.execute(_JOIN, self._crowd)
        try:
            while True:
                self._wake.clear()
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._look(connection)
                    await self.looked(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
        finally:
            await asyncio.gather(*(self._stop(thing_id) for thing_id in list(self._running)))

    async def _look(self, connection: asyncpg.Connection) -> None:
        """End what is changed, paused, deleted or broken, give up what is too much, begin what nobody has."""
        wanted = await self.wanted(connection)
        for thing_id, (work, task) in list(self._running.items()):
            if wanted.get(thing_id) != work.revision or task.done():
                await self._release(connection, thing_id)
        self._unable = {key: at for key, at in self._unable.items() if wanted.get(key) == at}
        self._missed = {key: looks for key, looks in self._missed.items() if key in wanted}
        if not wanted:
            await self._wish(connection, wishes=False)
            return
        others = await self._others(connection, wanted)
        share = Share.of(len(wanted), len(others.held) + 1)
        if others.wish:
            surplus = share.surplus(len(self._running), map(len, others.held.values()))
            for thing_id in list(self._running)[:surplus]:
                await self._release(connection, thing_id)
                self._missed[thing_id] = -1  # whoever wishes comes first
        limit = share.limit(others_wish=others.wish)
        for thing_id, revision in wanted.items():
            if thing_id in self._running or others.is_held(self.lock(thing_id)):
                self._missed.pop(thing_id, None)
                continue
            missed = self._missed[thing_id] = self._missed.get(thing_id, 0) + 1
            if missed > PATIENCE_LOOKS or (missed > 0 and len(self._running) < limit):
                await self._claim(connection, thing_id, revision)
        await self._wish(connection, wishes=self._is_wish(wanted, others, share))

    def _is_wish(self, wanted: Mapping[UUID, int], others: Others, share: Share) -> bool:
        """Whether others hold too much of what this process could do."""
        able = {self.lock(thing_id) for thing_id in wanted if thing_id not in self._unable}
        holders = [len(locks) for locks in others.held.values() if locks & able]
        return share.is_wish(len(self._running), holders)

    async def _others(self, connection: asyncpg.Connection, wanted: Iterable[UUID]) -> Others:
        keys = [self._crowd, self._wishing, *map(self.lock, wanted)]
        held: dict[int, set[int]] = {}
        wish = False
        for row in await connection.fetch(_HELD, keys):
            if row["is_own"]:
                continue
            locks = held.setdefault(row["pid"], set())
            if row["lock"] == self._wishing:
                wish = True
            elif row["lock"] != self._crowd:
                locks.add(row["lock"])
        return Others(held={pid: frozenset(locks) for pid, locks in held.items()}, wish=wish)

    async def _wish(self, connection: asyncpg.Connection, *, wishes: bool) -> None:
        if wishes != self._wishes:
            await connection.execute(_JOIN if wishes else _LEAVE, self._wishing)
            self._wishes = wishes

    @property
    def _crowd(self) -> int:
        return lock_of(f"{self.name}, all")

    @property
    def _wishing(self) -> int:
        return lock_of(f"{self.name}, wishing")

    async def _claim(self, connection: asyncpg.Connection, thing_id: UUID, revision: int) -> None:
        if not await connection.fetchval(_TRY, self.lock(thing_id)):
            return
        self._missed.pop(thing_id, None)
        work = await self.begin(connection, thing_id)  # as it is, now that nobody else leads
        if work is None:
            self._unable[thing_id] = revision
            await connection.execute(_FREE, self.lock(thing_id))
            return
        self._unable.pop(thing_id, None)
        task = asyncio.create_task(work.run(), name=f"{self.name} {thing_id}")
        self._running[thing_id] = (work, task)
        self.led(thing_id)

    async def _release(self, connection: asyncpg.Connection, thing_id: UUID) -> None:
        await self._stop(thing_id)
        await connection.execute(_FREE, self.lock(thing_id))

    async def _stop(self, thing_id: UUID) -> None:
        _, task = self._running.pop(thing_id)
        try:
            await end(task)
        except Exception as error:  # noqa: BLE001 the boundary: a defect of one thing ends no other
            self.stalled(error)

    def _on_change(self, *_: object) -> None:
        self._wake.set()
