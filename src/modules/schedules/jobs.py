"""What the worker runs for schedules: statements, and forgetting what became of old runs."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import text

from modules.schedules.repositories import ScheduleRepository
from modules.schedules.settings import SchedulesSettings
from monohull.kernel.database.data import PostgresError
from monohull.kernel.queues import Backoff, Cron, GiveUp, job
from monohull.kernel.runtime import Runtime
from monohull.kernel.schedule_runs import STATEMENT_JOB

LONGEST_SECONDS: Final = 3600
SPARE_SECONDS: Final = 30
PURGE_BATCH: Final = 5000

_STATEMENT: Final = text(
    "select statement, database_role, timeout_seconds from monohull.schedules where name = :name"
)


@job(
    STATEMENT_JOB,
    max_attempts=3,
    timeout_seconds=LONGEST_SECONDS + SPARE_SECONDS,
    backoff=Backoff(base_seconds=5),
)
async def run_statement(runtime: Runtime, *, schedule: str) -> None:
    """Run the statement of a schedule as its role, in one transaction, with the login of data requests.

    That login has no rights of its own and no way to the owner's: a statement that resets its role is then
    nobody. Where the owner had to stand in for it, statements are not run at all.
    """
    async with runtime.database.unit_of_work() as work:
        row = (await work.execute(_STATEMENT, {"name": schedule})).one_or_none()
    if row is None or row.statement is None:
        raise GiveUp(f"the schedule {schedule!r} runs no statement any more")
    if runtime.data.login is None:
        await runtime.data.open()
    if runtime.data.login == "owner":
        raise GiveUp(
            "data requests log in as the owner here, and statements of schedules do not run as the owner; "
            f"{runtime.data.login_reason}"
        )
    settings = (
        ("search_path", "public, extensions"),
        ("transaction_read_only", "off"),
        ("statement_timeout", str(row.timeout_seconds * 1000)),
        ("request.jwt.claims", msgspec.json.encode({"role": row.database_role}).decode()),
        ("role", row.database_role),
    )
    try:
        await runtime.data.run(row.statement, settings=settings)
    except PostgresError as error:
        raise GiveUp(str(error)) from error


@job("schedules.purge_runs", max_attempts=3, timeout_seconds=600)
async def purge_runs(runtime: Runtime) -> None:
    """Delete what became of runs that ended longer ago than the settings keep it."""
    days = runtime.settings.of(SchedulesSettings).retention_days
    deleted = PURGE_BATCH
    while deleted == PURGE_BATCH:
        async with runtime.database.unit_of_work() as work:
            deleted = await ScheduleRepository(work).purge(days, PURGE_BATCH)


CRONS: Final = (Cron(job=purge_runs, schedule="43 3 * * *"),)
