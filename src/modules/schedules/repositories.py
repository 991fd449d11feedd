"""Every query of schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import text

from modules.schedules.dtos import ScheduleRunView, ScheduleView
from monohull.kernel import clock
from monohull.kernel.cron import BadFields, UnknownZone, find_zone, next_tick, parse_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.pagination import Page

_COLUMNS: Final = """
    name, source, fields as schedule, timezone, job, arguments, statement, database_role, timeout_seconds,
    missed, catch_up_limit, overlap, late_after_seconds, paused_at is not null as is_paused, fault,
    created_at, updated_at
"""
_ONE: Final = text(f"select {_COLUMNS} from monohull.schedules where name = :name")  # noqa: S608 of our own text
_HELD: Final = text(
    f"select {_COLUMNS} from monohull.schedules where name = :name for update"  # noqa: S608 of our own text
)
_PAGE: Final = text(
    f"select {_COLUMNS} from monohull.schedules order by name limit :limit offset :offset"  # noqa: S608 of our own text
)
_COUNT: Final = text("select count(*) from monohull.schedules")
_ADD: Final = text(
    """
    insert into monohull.schedules
        (name, source, fields, timezone, job, arguments, missed, catch_up_limit, overlap, late_after_seconds,
         paused_at)
    values (:name, 'api', :schedule, :timezone, :job, cast(:arguments as jsonb), :missed, :catch_up_limit,
            :overlap, :late_after_seconds, case when :is_paused then now() end)
    on conflict (name) do nothing
    returning name
    """
)
_CHANGE: Final = text(
    """
    update monohull.schedules
    set fields = :schedule, timezone = :timezone, job = :job, arguments = cast(:arguments as jsonb),
        missed = :missed, catch_up_limit = :catch_up_limit, overlap = :overlap,
        late_after_seconds = :late_after_seconds, updated_at = now()
    where name = :name
    """
)
_REMOVE: Final = text("delete from monohull.schedules where name = :name")
_PAUSE: Final = text("select monohull.pause_schedule(:name)")
_RESUME: Final = text("select monohull.resume_schedule(:name)")
_RUN: Final = text("select monohull.run_schedule(:name)")

_RUN_COLUMNS: Final = """
    runs.id, runs.schedule, runs.tick, runs.kind,
    coalesce(runs.outcome, case
        when runs.job_id is null then 'waiting'
        when coalesce(runs.started_at, jobs.started_at) is null then 'queued'
        else 'running'
    end) as state,
    runs.job_id, coalesce(runs.started_at, jobs.started_at) as started_at, runs.ended_at,
    greatest(runs.attempts, coalesce(jobs.attempts, 0)) as attempts, runs.late_seconds, runs.error
"""
_RUNS: Final = """
    from monohull.schedule_runs as runs
    left join monohull.jobs on jobs.id = runs.job_id and runs.ended_at is null
    where (cast(:schedule as text) is null or runs.schedule = :schedule)
        and (cast(:outcome as text) is null or runs.outcome = :outcome)
"""
_RUN_PAGE: Final = text(
    f"select {_RUN_COLUMNS} {_RUNS} order by runs.tick desc, runs.id limit :limit offset :offset"
)
_RUN_COUNT: Final = text(f"select count(*) {_RUNS}")
_ONE_RUN: Final = text(
    f"""
    select {_RUN_COLUMNS}
    from monohull.schedule_runs as runs
    left join monohull.jobs on jobs.id = runs.job_id and runs.ended_at is null
    where runs.id = :id
    """  # noqa: S608 of our own text
)
_PURGE: Final = text(
    """
    delete from monohull.schedule_runs where id in (
        select id from monohull.schedule_runs
        where ended_at < now() - make_interval(days => :days) order by ended_at limit :batch)
    """
)


class ScheduleRepository:
    """The tables of schedules, in one unit of work."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def page(self, page: Page) -> tuple[Sequence[ScheduleView], int]:
        """Return a page of schedules by name, and how many there are."""
        rows = (await self.session.execute(_PAGE, {"limit": page.limit, "offset": page.offset})).mappings()
        return [view(row) for row in rows], await self.session.scalar(_COUNT) or 0

    async def find(self, name: str, *, holds: bool = False) -> ScheduleView | None:
        """Return a schedule, or None; with ``holds`` nobody else changes it until the transaction ends."""
        row = (await self.session.execute(_HELD if holds else _ONE, {"name": name})).mappings().first()
        return None if row is None else view(row)

    async def add(self, values: Mapping[str, Any]) -> bool:
        """Add a schedule; say whether its name was free."""
        return (await self.session.execute(_ADD, _stored(values))).first() is not None

    async def change(self, values: Mapping[str, Any]) -> None:
        await self.session.execute(_CHANGE, _stored(values))

    async def remove(self, name: str) -> None:
        await self.session.execute(_REMOVE, {"name": name})

    async def pause(self, name: str) -> None:
        await self.session.execute(_PAUSE, {"name": name})

    async def resume(self, name: str) -> None:
        await self.session.execute(_RESUME, {"name": name})

    async def run(self, name: str) -> UUID:
        """Have a schedule run; return the id of the run.

        Raises:
            DBAPIError: By `Database.unit_of_work` a SchemaConflict: a run of it goes on.
        """
        run_id: UUID = (await self.session.execute(_RUN, {"name": name})).scalar_one()
        return run_id

    async def get_run(self, run_id: UUID) -> ScheduleRunView:
        row = (await self.session.execute(_ONE_RUN, {"id": run_id})).mappings().one()
        return ScheduleRunView(**row)

    async def runs(
        self, page: Page, *, schedule: str | None, outcome: str | None
    ) -> tuple[Sequence[ScheduleRunView], int]:
        """Return a page of runs, the latest tick first, and how many there are."""
        wanted = {"schedule": schedule, "outcome": outcome}
        found = await self.session.execute(_RUN_PAGE, {**wanted, "limit": page.limit, "offset": page.offset})
        shown = [ScheduleRunView(**row) for row in found.mappings()]
        return shown, await self.session.scalar(_RUN_COUNT, wanted) or 0

    async def purge(self, days: int, batch: int) -> int:
        """Delete runs that ended ``days`` ago; return how many, at most ``batch``."""
        result = await self.session.execute(_PURGE, {"days": days, "batch": batch})
        return int(result.rowcount)  # type: ignore[attr-defined]  # a DELETE's result has it


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "arguments": msgspec.json.encode(values["arguments"]).decode()}


def view(row: RowMapping) -> ScheduleView:
    """Return what a row says, with the next tick as it is from now on."""
    following = None
    if not row["is_paused"] and row["fault"] is None:
        try:
            following = next_tick(parse_fields(row["schedule"]), find_zone(row["timezone"]), clock.now())
        except (BadFields, UnknownZone):
            following = None  # the relay will say so in `fault`
    return ScheduleView(**dict(row), next_at=following)
