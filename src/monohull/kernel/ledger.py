"""The ledger: what became of every promised job, in ``monohull.jobs``.

Redis carries jobs to the workers; the ledger knows which of them are done. It
counts the attempts, and the count is the fence: a worker may start an attempt
only when the ledger stands where the message says it stood. A message that
came twice, or too late, finds the count moved on and is thrown away.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import INTERVAL

from monohull.kernel.outbox import cause

if TYPE_CHECKING:
    from uuid import UUID

    from monohull.kernel.database.engine import Database

MAX_ERROR_CHARACTERS: Final = 10_000

_CLAIM: Final = text(
    """
    update monohull.jobs
    set attempts = attempts + 1, started_at = now(), worker = :worker, message = :message,
        dispatched_at = coalesce(dispatched_at, now())
    where id = :id and done_at is null and attempts between :lowest and :highest
    returning attempts
    """
)

_FINISH: Final = text(
    """
    update monohull.jobs set done_at = now(), outcome = 'succeeded', error = null
    where id = :id and done_at is null
    """
)

_RETRY: Final = text(
    """
    with returned as (
        update monohull.jobs
        set dispatched_at = null, due_at = now() + :delay, error = :error, worker = null, message = null
        where id = :id and done_at is null and attempts = :attempt
        returning 1
    )
    select pg_notify('monohull_outbox', '') from returned
    """
).bindparams(bindparam("delay", type_=INTERVAL))

_RELEASE: Final = text(
    """
    update monohull.jobs set attempts = attempts - 1, started_at = null, worker = null
    where id = :id and done_at is null and attempts = :attempt
    """
)

_BURY: Final = text(
    """
    with dead as (
        update monohull.jobs set done_at = now(), outcome = 'dead', error = :error
        where id = :id and done_at is null and attempts = :attempt
        returning id, name, queue, arguments, event_id, actor, request_id, attempts, error
    )
    insert into monohull.dead_letters
        (id, name, queue, arguments, event_id, actor, request_id, attempts, error)
    select * from dead
    """
)

_BURY_UNPROMISED: Final = text(
    """
    insert into monohull.dead_letters (id, name, queue, arguments, actor, request_id, attempts, error)
    values (:id, :name, :queue, cast(:arguments as json), :actor, :request_id, :attempts, :error)
    on conflict (id) do nothing
    """
)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was given up."""

    id: UUID
    name: str
    queue: str
    arguments: dict[str, Any]
    attempts: int
    error: str


class Ledger:
    """Reads and writes the rows of ``monohull.jobs`` for a worker.

    Every method raises `DatabaseUnavailable` (503) while PostgreSQL is away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, job_id: UUID, *, attempts: int, returns: int, worker: str, message: str
    ) -> int | None:
        """Start an attempt.

        Args:
            job_id: The row.
            attempts: How many there had been when the relay sent the message.
            returns: How often a dead worker's message was put back into the queue since.
            worker: Who starts it.
            message: Key of the message in Redis.

        Returns:
            The number of this attempt, from 1, or None when the message is stale:
            the job is done, or its next attempt has begun elsewhere.
        """
        parameters = {
            "id": job_id,
            "worker": worker,
            "message": message,
            "lowest": attempts,
            "highest": attempts + returns,
        }
        row = await self._execute(_CLAIM, parameters)
        return None if row is None else int(row.attempts)

    async def finish(self, job_id: UUID) -> None:
        """Record that the job succeeded, unless it has an outcome already."""
        await self._execute(_FINISH, {"id": job_id})

    async def retry(self, job_id: UUID, *, attempt: int, delay_seconds: float, error: str) -> None:
        """Let the relay send the job again after ``delay_seconds``, unless another attempt took over."""
        delay = timedelta(seconds=delay_seconds)
        parameters = {"id": job_id, "attempt": attempt, "delay": delay, "error": cut(error)}
        await self._execute(_RETRY, parameters)

    async def release(self, job_id: UUID, *, attempt: int) -> None:
        """Undo a claim: the attempt was interrupted by us and does not count."""
        await self._execute(_RELEASE, {"id": job_id, "attempt": attempt})

    async def bury(self, job_id: UUID, *, attempt: int, error: str) -> None:
        """Make the job a dead letter, unless another attempt took over."""
        await self._execute(_BURY, {"id": job_id, "attempt": attempt, "error": cut(error)})

    async def bury_unpromised(self, letter: DeadLetter) -> None:
        """Keep a job that never had a row, because it went straight into Redis, as a dead letter."""
        parameters = {
            **msgspec.structs.asdict(letter),
            "arguments": msgspec.json.encode(letter.arguments).decode(),
            "error": cut(letter.error),
            **cause(),
        }
        del parameters["traceparent"]
        await self._execute(_BURY_UNPROMISED, parameters)

    async def _execute(self, statement: Any, parameters: dict[str, Any]) -> Any:
        # one statement is one transaction: without BEGIN and COMMIT it costs a third of the round trips
        async with self._database.connected() as pooled:
            connection = await pooled.execution_options(isolation_level="AUTOCOMMIT")
            result = await connection.execute(statement, parameters)
            return result.first() if result.returns_rows else None


def cut(error: str) -> str:
    """Return ``error`` as the tables can keep it: not endless, and without the NUL that text refuses."""
    return error.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:MAX_ERROR_CHARACTERS]
