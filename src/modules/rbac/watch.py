"""Notice that roles changed: told by other processes, and by looking at the version each second.

A change in this process is known at once, one in another within a broadcast
over Redis. What neither tells of (SQL, a broadcast that was lost) is seen by
the number that triggers raise with each change. While the database is away,
what was known before counts.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

import asyncpg

from modules.rbac.repositories import FOLLOW, VERSION
from monohull.kernel.broker import SubscriberTooSlow
from monohull.kernel.errors import Problem, RedisUnavailable, Unavailable
from monohull.kernel.observation import Level, Observation
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.broker import Broker
    from monohull.kernel.database.engine import Database
    from monohull.kernel.grants import Grants
    from monohull.kernel.observation import Observer

CHANNEL: Final = "rbac.changed"
POLL_SECONDS: Final = 0.9
RETRY_SECONDS: Final = 1.0


class AccessUnreadable(Observation, frozen=True):
    """Whether roles changed could not be read; what was known before still counts."""

    event: ClassVar[str] = "rbac.access_unreadable"
    level: ClassVar[Level] = "warning"

    reason: str


class AccessNotAnnounced(Observation, frozen=True):
    """Other processes were not told of a change; they see it when they look, within a second."""

    event: ClassVar[str] = "rbac.access_not_announced"
    level: ClassVar[Level] = "warning"

    reason: str


class AccessWatch:
    """Begins a new epoch of `Grants` when roles changed.

    Args:
        database: Where the version is.
        broker: Carries the word to other processes.
        grants: Of this process.
        observer: Told when the database or Redis cannot be asked.
    """

    def __init__(self, database: Database, broker: Broker, grants: Grants, observer: Observer) -> None:
        self._database = database
        self._broker = broker
        self._grants = grants
        self._observer = observer
        self._version: int | None = None
        self._is_told = False

    async def announce(self) -> None:
        """Let a change count that was committed: here now, elsewhere as soon as they hear of it."""
        self._grants.begin_epoch()
        try:
            await self._broker.publish(CHANNEL, b"")
        except RedisUnavailable as error:
            self._observer.observe(AccessNotAnnounced(reason=error.message))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch for as long as the block runs; a database or Redis that is away delays no start."""
        async with (
            beside(self._listen(), name="access broadcasts"),
            beside(self._poll(), name="access version"),
        ):
            yield

    async def _listen(self) -> None:
        while True:
            try:
                async with self._broker.subscribe(CHANNEL) as subscription:
                    async for _ in subscription:  # also a gap: something may have been said meanwhile
                        self._grants.begin_epoch()
                    return  # the broker closed: the process ends
            except SubscriberTooSlow:
                self._grants.begin_epoch()
            except RedisUnavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def _poll(self) -> None:
        while True:
            try:
                await self.look()
                self._is_told = False
            except (Unavailable, asyncpg.PostgresError) as error:
                self._tell(error.message if isinstance(error, Problem) else str(error).partition("\n")[0])
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Begin an epoch if the version is another than before; rules of columns follow what was renamed.

        Raises:
            Unavailable: 503. asyncpg.PostgresError: The schema is not there yet.
        """
        row = await self._database.run(VERSION)
        if row is not None and row["is_behind"]:
            await self._database.run(FOLLOW)
            row = await self._database.run(VERSION)
        version: Any = None if row is None else row["version"]
        if self._version is not None and version != self._version:
            self._grants.begin_epoch()
        self._version = version

    def _tell(self, reason: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._observer.observe(AccessUnreadable(reason=reason))
