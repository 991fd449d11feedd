"""Make queues, count what waits in them, empty and drop them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from modules.queues.dtos import Purged, QueueView
from modules.queues.errors import QueueExists, QueueNotWhole, QueuesElsewhere
from modules.queues.events import QueueCreated, QueueDropped, QueuePurged
from monohull.kernel import outbox
from monohull.kernel.database.engine import driver_error
from monohull.kernel.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.queues.dtos import CreateQueue
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page

ABSENT: Final = "No queue has this name."
IS_OURS: Final = """
    select coalesce(
        obj_description(to_regnamespace('pgmq'), 'pg_namespace') like 'Queues of Monohull%', false
    ) as is_ours
"""

_VIEW: Final = """
    select m.queue_name as name, m.is_unlogged, m.created_at, counted.queue_length as length,
        counted.newest_msg_age_sec as newest_age_seconds, counted.oldest_msg_age_sec as oldest_age_seconds,
        counted.total_messages
    from pgmq.meta as m, pgmq.metrics(m.queue_name) as counted
    where to_regclass(format('pgmq.%I', 'q_' || lower(m.queue_name))) is not null
"""
_IS_OURS: Final = text(IS_OURS)
_PAGE: Final = text(f"{_VIEW} order by m.queue_name limit :limit offset :offset")
_ONE: Final = text(f"{_VIEW} and m.queue_name = :name")
_HELD: Final = text("select 1 from pgmq.meta as m where m.queue_name = :name for update")
_COUNT: Final = text("select count(*) from pgmq.meta")
_TAKEN: Final = text("select exists (select from pgmq.meta as m where lower(m.queue_name) = lower(:name))")
_LOCK: Final = text("lock table pgmq.meta in share row exclusive mode")
_CREATE: Final = text("select pgmq.create_queue_tables(:name, :is_unlogged)")
_PURGE: Final = text("select pgmq.purge_queue(:name)")
_DROP: Final = text("select pgmq.drop_queue(:name)")


class UserQueues:
    """The queues of this database, where its schema ``pgmq`` is Monohull's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[AsyncSession]:
        try:
            async with self._database.unit_of_work() as work:
                yield work
        except DBAPIError as error:
            if isinstance(cause := driver_error(error), _NOT_WHOLE):
                raise QueueNotWhole(
                    "The tables of this queue are not as they were made.", details=str(cause.args[0])
                ) from error
            raise

    async def page(self, page: Page) -> tuple[Sequence[QueueView], int]:
        """Return a page of queues by name, and how many there are.

        Raises:
            QueuesElsewhere: 409.
        """
        async with self._working() as work:
            await _demand_ours(work)
            rows = await work.execute(_PAGE, {"limit": page.limit, "offset": page.offset})
            return [QueueView(**dict(row)) for row in rows.mappings()], await work.scalar(_COUNT) or 0

    async def get(self, name: str) -> QueueView:
        """Return a queue.

        Raises:
            NotFound: 404. QueuesElsewhere: 409.
        """
        async with self._working() as work:
            await _demand_ours(work)
            return await _find(work, name)

    async def create(self, wanted: CreateQueue) -> QueueView:
        """Make a queue that is closed to everybody but ``service_role``.

        Raises:
            QueueExists: 409. QueuesElsewhere: 409.
        """
        async with self._working() as work:
            await _demand_ours(work)
            await work.execute(_LOCK)
            if await work.scalar(_TAKEN, {"name": wanted.name}):
                raise QueueExists(f"There is a queue called {wanted.name} already.")
            await work.execute(_CREATE, {"name": wanted.name, "is_unlogged": wanted.is_unlogged})
            created = QueueCreated(queue=wanted.name, is_unlogged=wanted.is_unlogged)
            await outbox.publish(work, created, key=wanted.name)
            return await _find(work, wanted.name)

    async def purge(self, name: str) -> Purged:
        """Delete all messages of a queue.

        Raises:
            NotFound: 404. QueuesElsewhere: 409.
        """
        async with self._working() as work:
            await _hold(work, name)
            purged = Purged(messages=int(await work.scalar(_PURGE, {"name": name}) or 0))
            await outbox.publish(work, QueuePurged(queue=name, messages=purged.messages), key=name)
            return purged

    async def drop(self, name: str) -> None:
        """Drop a queue with its messages and its archive.

        Raises:
            NotFound: 404. QueuesElsewhere: 409.
        """
        async with self._working() as work:
            await _hold(work, name)
            await work.execute(_DROP, {"name": name})
            await outbox.publish(work, QueueDropped(queue=name), key=name)


_NOT_WHOLE: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.DuplicateTableError,
    asyncpg.DependentObjectsStillExistError,
    asyncpg.WrongObjectTypeError,
    asyncpg.FeatureNotSupportedError,
)
"""What is raised where somebody dropped a table of a queue, made one of its name, or refers to it.

The last is TRUNCATE of a table that a foreign key refers to.
"""


async def _demand_ours(work: AsyncSession) -> None:
    if not await work.scalar(_IS_OURS):
        raise QueuesElsewhere("The queues of this database are not Monohull's.")


async def _find(work: AsyncSession, name: str) -> QueueView:
    row: Any = (await work.execute(_ONE, {"name": name})).mappings().first()
    if row is None:
        raise NotFound(ABSENT)
    return QueueView(**dict(row))


async def _hold(work: AsyncSession, name: str) -> None:
    await _demand_ours(work)
    if (await work.execute(_HELD, {"name": name})).first() is None:
        raise NotFound(ABSENT)
