"""Runs of schedules: begun under the overlap policy, and followed in the ledger to what became of them.

A run that waits has no job yet: the one before it has not ended, or somebody
asked for it just now. A run of a tick has the tick's own id, and so has its job.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

from monohull.kernel.observation import SILENT, Observation, Observer
from monohull.kernel.schedule_events import ScheduleRunFailed, ScheduleRunLate, ScheduleRunMissed, publish

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from monohull.kernel.queues import Job

STATEMENT_JOB: Final = "schedules.run_statement"
"""Runs the SQL of a schedule that has a statement and no job."""

SHOWN_ERROR_CHARACTERS: Final = 500
SETTLED_AT_ONCE: Final = 500

_OUTCOMES: Final = {"succeeded": "succeeded", "dead": "failed"}
_FAILURES: Final = frozenset({"failed", "lost"})

_ENQUEUE: Final = """
    insert into monohull.jobs (id, name, queue, arguments, key)
    values ($1, $2, $3, $4::json, $5)
    on conflict do nothing
    returning id
"""
_EXISTS: Final = "select exists (select from monohull.jobs where id = $1)"
_IS_BUSY: Final = (
    "select exists (select from monohull.schedule_runs where schedule = $1 and ended_at is null)"
)

_RECORD: Final = """
    insert into monohull.schedule_runs (id, schedule, tick, kind, job_id, outcome, error, ended_at)
    values ($1, $2, $3, $4, $5, $6, $7, case when $6::text is null then null else now() end)
    on conflict (id) do nothing
"""
_BEGUN: Final = """
    update monohull.schedule_runs
    set job_id = $2, outcome = $3, error = $4, ended_at = case when $3::text is null then null else now() end
    where id = $1 and ended_at is null
"""

_WAITING: Final = """
    select distinct on (runs.schedule, case when schedules.overlap = 'allow' then runs.id end)
        runs.id, runs.tick, schedules.name, schedules.job, schedules.arguments::text as arguments,
        schedules.statement, schedules.overlap
    from monohull.schedule_runs as runs join monohull.schedules on schedules.name = runs.schedule
    where runs.ended_at is null and runs.job_id is null and (
        schedules.overlap = 'allow' or not exists (
            select from monohull.schedule_runs as ahead
            where ahead.schedule = runs.schedule and ahead.ended_at is null and ahead.job_id is not null
        )
    )
    order by runs.schedule, case when schedules.overlap = 'allow' then runs.id end, runs.tick, runs.id
    limit 100
"""

_STILL_WAITS: Final = """
    select schedules.job, schedules.arguments::text as arguments, schedules.statement, schedules.overlap
    from monohull.schedule_runs as runs join monohull.schedules on schedules.name = runs.schedule
    where runs.id = $1 and runs.ended_at is null and runs.job_id is null
    for update of runs, schedules skip locked
"""
_MOVED: Final = """
    select runs.id, runs.schedule, runs.tick, runs.is_late, runs.started_at as known_start,
        jobs.id is null as is_gone, jobs.started_at, jobs.done_at, jobs.outcome, jobs.error, jobs.attempts,
        coalesce(schedules.late_after_seconds, 300) as late_after_seconds
    from monohull.schedule_runs as runs
    left join monohull.jobs on jobs.id = runs.job_id
    left join monohull.schedules on schedules.name = runs.schedule
    where runs.ended_at is null and runs.job_id is not null and (
        jobs.id is null or jobs.done_at is not null
        or (runs.started_at is null and jobs.started_at is not null)
        or (runs.started_at is null and not runs.is_late
            and runs.tick + make_interval(secs => coalesce(schedules.late_after_seconds, 300)) < $1)
    )
    order by runs.tick limit $2
"""
_SETTLE: Final = """
    update monohull.schedule_runs
    set started_at = $2, ended_at = $3, outcome = $4, error = $5, attempts = $6, late_seconds = $7,
        is_late = $8
    where id = $1 and ended_at is null
"""


class ScheduleRunEnded(Observation, frozen=True, kw_only=True):
    """A run of a schedule ended, or did not happen."""

    event = "schedule.run_ended"
    level = "debug"

    schedule: str
    outcome: str
    late_seconds: float | None = None


class Standing(msgspec.Struct, frozen=True):
    """What a run needs to know of its schedule; as the tables have it."""

    name: str
    job: str | None
    arguments: str
    statement: str | None
    overlap: str


def run_id_of(schedule: str, tick: datetime) -> UUID:
    """Return the id of the run and the job that a tick causes: the same whoever asks, however often."""
    return uuid5(NAMESPACE_OID, f"{schedule}@{tick.astimezone(UTC).isoformat()}")


class Runs:
    """Begins runs and follows them.

    Args:
        jobs: Every job that the process knows, by name.
        observer: Told of each run that ended.
    """

    def __init__(self, jobs: Mapping[str, Job], observer: Observer = SILENT) -> None:
        self._jobs = jobs
        self._observer = observer

    async def begin(
        self, connection: asyncpg.Connection, of: Standing, tick: datetime, *, kind: str, waits: bool
    ) -> None:
        """Begin the run of a tick, have it wait, or skip it, as its schedule wants it.

        Args:
            connection: In a transaction that holds the schedule.
            of: The schedule.
            tick: When it was due, in UTC.
            kind: ``tick`` or ``catch_up``.
            waits: Whether it waits for the run before it; otherwise it is skipped then.
        """
        run_id = run_id_of(of.name, tick)
        if of.overlap != "allow" and await connection.fetchval(_IS_BUSY, of.name):
            if waits:
                await connection.execute(_RECORD, run_id, of.name, tick, kind, None, None, None)
            else:
                await self._skip(connection, of, tick, kind)
            return
        refusal = self._refusal(of)
        if refusal is None and not await self._enqueue(connection, of, run_id):
            await self._skip(connection, of, tick, kind)
            return
        outcome, job_id = (None, run_id) if refusal is None else ("failed", None)
        await connection.execute(_RECORD, run_id, of.name, tick, kind, job_id, outcome, refusal)
        if refusal is not None:
            await self._tell_unable(connection, of.name, run_id, tick, refusal)

    async def begin_waiting(self, connection: asyncpg.Connection) -> int:
        """Begin the runs that waited and need not any more; return how many."""
        rows = await connection.fetch(_WAITING)
        for row in rows:
            async with connection.transaction():
                if (still := await connection.fetchrow(_STILL_WAITS, row["id"])) is None:
                    continue  # its schedule was deleted, or changed at this moment
                of = Standing(
                    row["name"], still["job"], still["arguments"], still["statement"], still["overlap"]
                )
                refusal = self._refusal(of)
                if refusal is not None:
                    await connection.execute(_BEGUN, row["id"], None, "failed", refusal)
                    await self._tell_unable(connection, of.name, row["id"], row["tick"], refusal)
                elif await self._enqueue(connection, of, row["id"]):
                    await connection.execute(_BEGUN, row["id"], row["id"], None, None)
        return len(rows)

    def _refusal(self, of: Standing) -> str | None:
        name = of.job or STATEMENT_JOB
        return None if name in self._jobs else f"no job is called {name!r}"

    async def _enqueue(self, connection: asyncpg.Connection, of: Standing, run_id: UUID) -> bool:
        """Ask for the job; say whether it is asked for, now or already."""
        job = self._jobs[of.job or STATEMENT_JOB]
        arguments = of.arguments
        if of.statement is not None:
            arguments = msgspec.json.encode({"schedule": of.name}).decode()
        key = None if of.overlap == "allow" else f"cron:{of.name}"
        if await connection.fetchval(_ENQUEUE, run_id, job.name, job.queue, arguments, key) is not None:
            return True
        return bool(await connection.fetchval(_EXISTS, run_id))

    async def _skip(self, connection: asyncpg.Connection, of: Standing, tick: datetime, kind: str) -> None:
        run_id, why = run_id_of(of.name, tick), "the run before had not ended"
        await connection.execute(_RECORD, run_id, of.name, tick, kind, None, "skipped", why)
        missed = ScheduleRunMissed(
            schedule=of.name, reason="overlap", ticks=1, first_tick=tick, last_tick=tick
        )
        await publish(connection, missed, key=of.name)
        self._observer.observe(ScheduleRunEnded(schedule=of.name, outcome="skipped"))

    async def settle(self, connection: asyncpg.Connection, at: datetime) -> int:
        """Copy from the ledger when runs began and how they ended; tell of those that failed or are late.

        Returns:
            How many runs moved on, at most `SETTLED_AT_ONCE`.
        """
        rows = await connection.fetch(_MOVED, at, SETTLED_AT_ONCE)
        if rows:
            async with connection.transaction():
                for row in rows:
                    await self._settle(connection, row, at)
        return len(rows)

    async def _settle(self, connection: asyncpg.Connection, row: Mapping[str, Any], at: datetime) -> None:
        started = row["known_start"] or row["started_at"]
        late = (started or at) - row["tick"]
        is_late = row["is_late"] or late > timedelta(seconds=row["late_after_seconds"])
        outcome, error, ended = None, None, row["done_at"]
        if row["is_gone"]:
            outcome, error, ended = "lost", "the ledger has no such job any more", at
        elif ended is not None:
            outcome, error = _OUTCOMES.get(row["outcome"], row["outcome"]), row["error"]
        seconds = None if started is None else round(late.total_seconds(), 3)
        await connection.execute(
            _SETTLE, row["id"], started, ended, outcome, error, row["attempts"] or 0, seconds, is_late
        )
        if outcome is not None:
            self._observer.observe(
                ScheduleRunEnded(schedule=row["schedule"], outcome=outcome, late_seconds=seconds)
            )
        if is_late and not row["is_late"]:
            event = ScheduleRunLate(
                schedule=row["schedule"],
                run_id=str(row["id"]),
                tick=row["tick"],
                late_seconds=round(late.total_seconds(), 3),
            )
            await publish(connection, event, key=row["schedule"])
        if outcome in _FAILURES:
            failed = ScheduleRunFailed(
                schedule=row["schedule"],
                run_id=str(row["id"]),
                tick=row["tick"],
                outcome=str(outcome),
                attempts=row["attempts"] or 0,
                error=(error or "")[:SHOWN_ERROR_CHARACTERS],
            )
            await publish(connection, failed, key=row["schedule"])

    async def record_missed(
        self, connection: asyncpg.Connection, schedule: str, missed: list[datetime], outcome: str
    ) -> None:
        """Write down ticks for which nothing ran."""
        records = [
            (run_id_of(schedule, tick), schedule, tick, "tick", None, outcome, None) for tick in missed
        ]
        await connection.executemany(_RECORD, records)
        for _ in missed:
            self._observer.observe(ScheduleRunEnded(schedule=schedule, outcome=outcome))

    async def _tell_unable(
        self, connection: asyncpg.Connection, schedule: str, run_id: UUID, tick: datetime, error: str
    ) -> None:
        event = ScheduleRunFailed(
            schedule=schedule, run_id=str(run_id), tick=tick, outcome="failed", attempts=0, error=error
        )
        await publish(connection, event, key=schedule)
        self._observer.observe(ScheduleRunEnded(schedule=schedule, outcome="failed"))
