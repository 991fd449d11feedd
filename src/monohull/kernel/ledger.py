"""The ledger: what became of every promised job, in ``monohull.jobs``.

Redis carries jobs to the workers; the ledger knows which of them are done. It
counts the attempts, and the count is the fence: a worker may start an attempt
only when the ledger stands where the message says it stood. A message that
came twice, or too late, finds the count moved on and is thrown away.

Every statement that ends a job does so only while ``done_at`` is null, in one
row and one transaction: whatever finishes, fails, is cancelled or given up at
the same time, one of them comes first and the others change nothing. An attempt
that was asked to stop and did not succeed ends its job as cancelled, however it
ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import INTERVAL

from monohull.kernel.outbox import cause

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from monohull.kernel.database.engine import Database
    from monohull.kernel.progress import Said
    from monohull.kernel.queues import Job

MAX_ERROR_CHARACTERS: Final = 10_000
MAX_RESULT_CHARACTERS: Final = 65_536

_STARTED_AT: Final = bindparam("started_at", type_=DateTime(timezone=True))

_CLAIM: Final = """
    with found as (
        select id, attempts, worker, started_at,
            case
                when cancel_requested_at is not null then 'cancelled'
                when exists (select from monohull.job_queue_pauses where queue = jobs.queue) then 'held'
                else 'begun'
            end as verdict
        from monohull.jobs
        where id = $1 and done_at is null and attempts between $2 and $3
        for update
    ), lost as (
        insert into monohull.job_attempts (job_id, number, worker, started_at, outcome, error)
        select id, attempts, worker, started_at, 'lost', 'its worker is gone'
        from found where worker is not null
        on conflict do nothing
    ), cancelled as (
        update monohull.jobs as jobs set done_at = now(), outcome = 'cancelled', worker = null
        from found where jobs.id = found.id and found.verdict = 'cancelled'
    ), held as (
        update monohull.jobs as jobs
        set dispatched_at = null, message = null, worker = null, heartbeat_at = null
        from found where jobs.id = found.id and found.verdict = 'held'
    )
    update monohull.jobs as jobs
    set attempts = jobs.attempts + 1, started_at = now(), heartbeat_at = now(), worker = $4,
        message = $5, dispatched_at = coalesce(dispatched_at, now()), progress = null,
        progress_text = null
    from found where jobs.id = found.id and found.verdict = 'begun'
    returning jobs.attempts as number, jobs.attempts_before, jobs.max_attempts, jobs.started_at
"""

_FINISH: Final = """
    with ended as (
        update monohull.jobs
        set done_at = now(), outcome = 'succeeded', error = null, progress = 1,
            result = $5::json, is_result_cut = $6
        where id = $1 and done_at is null
        returning id
    )
    insert into monohull.job_attempts (job_id, number, worker, started_at, outcome)
    select id, $2::int, $3::text, $4::timestamptz, 'succeeded' from ended
    on conflict (job_id, number, started_at) do update
        set outcome = excluded.outcome, error = null, ended_at = now()
"""

_RETRY: Final = text(
    """
    with ended as (
        update monohull.jobs
        set done_at = case when cancel_requested_at is not null then now() end,
            outcome = case when cancel_requested_at is not null then 'cancelled' end,
            dispatched_at = null, due_at = now() + :delay, error = :error, worker = null, message = null,
            heartbeat_at = null
        where id = :id and done_at is null and attempts = :number
        returning id, done_at
    ), noted as (
        insert into monohull.job_attempts (job_id, number, worker, started_at, outcome, error)
        select id, :number, :worker, :started_at, 'failed', :error from ended
        on conflict do nothing
    )
    select pg_notify('monohull_outbox', '') from ended where done_at is null
    """
).bindparams(_STARTED_AT, bindparam("delay", type_=INTERVAL))

_RELEASE: Final = text(
    """
    with ended as (
        update monohull.jobs
        set attempts = attempts - 1, started_at = null, worker = null, heartbeat_at = null,
            done_at = case when cancel_requested_at is not null then now() end,
            outcome = case when cancel_requested_at is not null then 'cancelled' end
        where id = :id and done_at is null and attempts = :number
        returning id
    )
    insert into monohull.job_attempts (job_id, number, worker, started_at, outcome, error)
    select id, :number, :worker, :started_at, 'interrupted', 'its worker stopped' from ended
    on conflict do nothing
    """
).bindparams(_STARTED_AT)

_CANCELLED: Final = text(
    """
    with ended as (
        update monohull.jobs set done_at = now(), outcome = 'cancelled', error = coalesce(:error, error),
            worker = null
        where id = :id and done_at is null and attempts = :number and cancel_requested_at is not null
        returning id
    )
    insert into monohull.job_attempts (job_id, number, worker, started_at, outcome, error)
    select id, :number, :worker, :started_at, 'cancelled', :error from ended
    on conflict do nothing
    """
).bindparams(_STARTED_AT)

_BURY: Final = text(
    """
    with ended as (
        update monohull.jobs
        set done_at = now(), error = :error,
            outcome = case when cancel_requested_at is null then 'dead' else 'cancelled' end
        where id = :id and done_at is null and attempts = :number
        returning id, name, queue, arguments, event_id, actor, request_id, attempts, error, outcome
    ), noted as (
        insert into monohull.job_attempts (job_id, number, worker, started_at, outcome, error)
        select id, :number, :worker, :started_at, 'failed', :error from ended
        on conflict do nothing
    )
    insert into monohull.dead_letters
        (id, name, queue, arguments, event_id, actor, request_id, attempts, error)
    select id, name, queue, arguments, event_id, actor, request_id, attempts, error
    from ended where outcome = 'dead'
    on conflict (id) do nothing
    """
).bindparams(_STARTED_AT)

_BURY_UNPROMISED: Final = text(
    """
    with letter as (
        insert into monohull.dead_letters (id, name, queue, arguments, actor, request_id, attempts, error)
        values (:id, :name, :queue, cast(:arguments as json), :actor, :request_id, :attempts, :error)
        on conflict (id) do nothing
        returning *
    )
    insert into monohull.jobs
        (id, name, queue, arguments, actor, request_id, attempts, error, done_at, outcome)
    select id, name, queue, arguments, actor, request_id, attempts, error, now(), 'dead' from letter
    on conflict do nothing
    """
)

_BEAT: Final = """
    with beats as (
        select jobs.id, beats.progress, beats.progress_text
        from unnest($1::uuid[], $2::int[], $3::real[], $4::text[])
            as beats (id, number, progress, progress_text)
        join monohull.jobs as jobs
            on jobs.id = beats.id and jobs.attempts = beats.number and jobs.done_at is null
        -- whoever holds some of them and waits for others is not waited for: the next beat comes soon
        for update of jobs skip locked
    )
    update monohull.jobs as jobs
    set heartbeat_at = now(), progress = coalesce(beats.progress, jobs.progress),
        progress_text = case when beats.progress is null then jobs.progress_text else beats.progress_text end
    from beats where jobs.id = beats.id
    returning jobs.id, jobs.attempts as number, jobs.cancel_requested_at is not null as is_cancelled
"""

_REGISTER: Final = """
    insert into monohull.job_types (name, queue, priority, is_public)
    select * from unnest($1::text[], $2::text[], $3::smallint[], $4::bool[])
    on conflict (name) do update
        set queue = excluded.queue, priority = excluded.priority, is_public = excluded.is_public,
            seen_at = now()
"""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that a worker may make.

    Attributes:
        job_id: The row.
        number: Of the attempt, from 1.
        attempts_before: How many of these do not count, since somebody asked for the job again after them.
        max_attempts: The row's own limit, or None.
        started_at: By the clock of the database.
        worker: Who makes it.
    """

    job_id: UUID
    number: int
    attempts_before: int = 0
    max_attempts: int | None = None
    started_at: datetime
    worker: str

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "id": self.job_id,
            "number": self.number,
            "worker": self.worker,
            "started_at": self.started_at,
        }


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was given up."""

    id: UUID
    name: str
    queue: str
    arguments: dict[str, Any]
    attempts: int
    error: str


class Beat(msgspec.Struct, frozen=True):
    """An attempt that goes on, and what it said of itself since the last time."""

    claim: Claim
    said: Said | None


class Ledger:
    """Reads and writes the rows of ``monohull.jobs`` for a worker.

    Every method raises `DatabaseUnavailable` (503) while PostgreSQL is away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, jobs: Iterable[Job]) -> None:
        """Note which jobs this worker knows, for `monohull.enqueue`."""
        known = sorted(jobs, key=lambda job: job.name)
        columns = ("name", "queue", "priority", "is_public")
        arguments = tuple([getattr(job, column) for job in known] for column in columns)
        async with self._database.connected() as connection:
            await connection.exec_driver_sql(_REGISTER, arguments)
            await connection.commit()

    async def claim(
        self, job_id: UUID, *, attempts: int, returns: int, worker: str, message: str
    ) -> Claim | None:
        """Start an attempt.

        Args:
            job_id: The row.
            attempts: How many there had been when the relay sent the message.
            returns: How often a dead worker's message was put back into the queue since.
            worker: Who starts it.
            message: Key of the message in Redis.

        Returns:
            The attempt, or None when there is nothing to do for this message: the job is done or was
            cancelled, its next attempt has begun elsewhere, or its queue is paused and it will be sent again.
        """
        # whoever was cut off in the middle finds the count moved on: the attempt is lost, as with its worker
        row = await self._database.run(_CLAIM, job_id, attempts, attempts + returns, worker, message)
        return None if row is None else Claim(job_id=job_id, worker=worker, **row)

    async def finish(self, claim: Claim, result: Any = None) -> None:
        """Record that the job succeeded, unless it has an outcome already."""
        written, is_cut = encode_result(result)
        await self._database.run(
            _FINISH, claim.job_id, claim.number, claim.worker, claim.started_at, written, is_cut
        )

    async def retry(self, claim: Claim, *, delay_seconds: float, error: str) -> None:
        """Let the relay send the job again after ``delay_seconds``, unless another attempt took over."""
        delay = timedelta(seconds=delay_seconds)
        await self._execute(_RETRY, {**claim.parameters, "delay": delay, "error": cut(error)})

    async def release(self, claim: Claim) -> None:
        """Undo a claim: the attempt was interrupted by us and does not count."""
        await self._execute(_RELEASE, claim.parameters)

    async def cancelled(self, claim: Claim, *, error: str | None = None) -> None:
        """Record that the attempt was stopped because somebody cancelled the job."""
        await self._execute(_CANCELLED, {**claim.parameters, "error": None if error is None else cut(error)})

    async def bury(self, claim: Claim, *, error: str) -> None:
        """Make the job a dead letter, unless another attempt took over."""
        await self._execute(_BURY, {**claim.parameters, "error": cut(error)})

    async def beat(self, beats: Sequence[Beat]) -> list[tuple[UUID, int]]:
        """Note that these attempts go on; return job and number of those that are to stop."""
        arguments = (
            [beat.claim.job_id for beat in beats],
            [beat.claim.number for beat in beats],
            [None if beat.said is None else beat.said.share for beat in beats],
            [None if beat.said is None else beat.said.text for beat in beats],
        )
        async with self._database.connected() as pooled:
            connection = await pooled.execution_options(isolation_level="AUTOCOMMIT")
            rows = (await connection.exec_driver_sql(_BEAT, arguments)).all()
        return [(row.id, row.number) for row in rows if row.is_cancelled]

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


def encode_result(result: Any) -> tuple[str | None, bool]:
    """Return what a job returned as JSON, and whether that is only how it begins.

    What is too long becomes a string with its beginning, so that it stays JSON. What JSON cannot say is
    described, for the job did succeed.

    >>> encode_result({"pages": 3}), encode_result(None)
    (('{"pages":3}', False), (None, False))
    """
    if result is None:
        return None, False
    try:
        written = msgspec.json.encode(result, enc_hook=repr).decode()
    except (TypeError, ValueError, RecursionError) as error:  # of keys that are none, or halves of surrogates
        written = msgspec.json.encode(f"{type(result).__name__}: {type(error).__name__}").decode()
    if len(written) <= MAX_RESULT_CHARACTERS:
        return written, False
    return msgspec.json.encode(written[:MAX_RESULT_CHARACTERS]).decode(), True
