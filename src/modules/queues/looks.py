"""What ``monohull doctor`` and the metrics look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from modules.queues.services import IS_OURS
from monohull.kernel.diagnosis import Diagnosis
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from monohull.kernel.database.engine import Database
    from monohull.kernel.runtime import Runtime

_EXISTS: Final = "select to_regnamespace('pgmq') is not null or to_regnamespace('pgmq_public') is not null"
_WAITING: Final = "select coalesce(sum(queue_length), 0)::float8 as messages from pgmq.metrics_all()"


async def waiting_messages(database: Database) -> float | None:
    """Return how many messages wait in all queues; None when they are not ours or the database is away."""
    try:
        owned = await database.run(IS_OURS)
        row = await database.run(_WAITING) if owned is not None and owned["is_ours"] else None
    except (Problem, asyncpg.PostgresError):  # or somebody dropped the table of a queue
        return None
    return None if row is None else row["messages"]


async def look(runtime: Runtime) -> Diagnosis:
    """Say whose the schema of queues is."""
    async with runtime.database.connection() as connection:
        if await connection.fetchval(IS_OURS):
            return Diagnosis("queues", "ok", "the schemas pgmq and pgmq_public are there")
        if await connection.fetchval(_EXISTS):
            message = (
                "this database had a schema pgmq or pgmq_public of its own, which is left alone; "
                "/platform/v1/queues does not steer its queues"
            )
            return Diagnosis("queues", "advice", message)
    message = "somebody dropped the schemas pgmq and pgmq_public; restore them, or do without queues"
    return Diagnosis("queues", "advice", message)
