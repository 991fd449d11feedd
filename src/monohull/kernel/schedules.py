"""Schedules: which ticks are due, and what is done about those that came while nobody was there.

The relay keeps the timetable, over the connection that holds its lock. How far
each schedule was looked at stands in its row and moves in the transaction that
begins the runs, so that a tick is neither lost nor doubled, whoever leads.
Schedules of code are written into the same table by each relay that leads; one
that this process does not declare is left to the processes that do.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.cron import BadFields, Fields, UnknownZone, find_zone, next_tick, parse_fields, ticks
from monohull.kernel.observation import SILENT, Observer
from monohull.kernel.queues import Cron, Job, JobError
from monohull.kernel.schedule_events import ScheduleRunMissed, publish
from monohull.kernel.schedule_runs import Runs, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from zoneinfo import ZoneInfo

LOOKBACK: Final = timedelta(seconds=60)
"""A tick that came within this time is due; an older one was missed. No fail-over takes longer."""
REMEMBERED: Final = timedelta(days=31)
"""Ticks that were missed longer ago are not looked at."""
RECORDED: Final = 100
"""So many missed ticks of one absence are written down; the event counts them all."""
PAUSE_SECONDS: Final = 0.5
BATCH: Final = 200

_DECLARE: Final = """
    insert into monohull.schedules as known
        (name, source, fields, timezone, job, arguments, missed, catch_up_limit, overlap, late_after_seconds,
         ticked_until, seen_at)
    values ($1, 'code', $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, now())
    on conflict (name) do update set
        source = 'code', fields = excluded.fields, timezone = excluded.timezone, job = excluded.job,
        arguments = excluded.arguments, statement = null, database_role = null, missed = excluded.missed,
        catch_up_limit = excluded.catch_up_limit, overlap = excluded.overlap,
        late_after_seconds = excluded.late_after_seconds, fault = null, seen_at = now(),
        next_at = case
            when (known.fields, known.timezone) = (excluded.fields, excluded.timezone) then known.next_at
        end,
        ticked_until = case
            when (known.fields, known.timezone) = (excluded.fields, excluded.timezone) then known.ticked_until
            else greatest(known.ticked_until, excluded.ticked_until)
        end
"""
_FORGET: Final = """
    delete from monohull.schedules
    where source = 'code' and seen_at < now() - interval '7 days' and name <> all ($1::text[])
"""
_DUE: Final = """
    select name from monohull.schedules
    where (next_at is null or next_at <= $1) and paused_at is null
        and (source <> 'code' or name = any ($2::text[]))
    order by next_at nulls first limit $3
"""
_HOLD: Final = """
    select name, fields, timezone, job, arguments::text as arguments, statement, missed, catch_up_limit,
        overlap, ticked_until
    from monohull.schedules
    where name = $1 and (next_at is null or next_at <= $2) and paused_at is null
    for update skip locked
"""
_LOOKED_AT: Final = """
    update monohull.schedules
    set ticked_until = greatest(ticked_until, $2), next_at = coalesce($3, 'infinity'::timestamptz), fault = $4
    where name = $1
"""


class Due(msgspec.Struct, frozen=True):
    """What is to be done about the ticks of one look.

    Attributes:
        runs: They run, each with whether it makes up for an absence.
        missed: Nothing runs for them, and nobody wanted that.
        superseded: A later run stands for them.
        missed_in_all: `missed` has the latest alone.
    """

    runs: tuple[tuple[datetime, bool], ...] = ()
    missed: tuple[datetime, ...] = ()
    superseded: tuple[datetime, ...] = ()
    missed_in_all: int = 0
    first_missed: datetime | None = None


def judge(  # noqa: PLR0913 each is a setting of the schedule
    fields: Fields, zone: ZoneInfo, *, after: datetime, until: datetime, missed: str, catch_up_limit: int
) -> Due:
    """Say what becomes of the ticks in ``(after, until]`` under the policy ``missed``.

    Args:
        fields: The schedule.
        zone: Where its hours are.
        after: How far it was looked at before.
        until: Now.
        missed: ``skip`` runs nothing for what was missed; ``once`` one run for all; ``all`` each.
        catch_up_limit: Most runs of ``all``; the latest are made up for.
    """
    edge = until - LOOKBACK
    fresh = list(ticks(fields, zone, after=max(after, edge), until=until))
    last: deque[datetime] = deque(maxlen=max(RECORDED, catch_up_limit))
    count, first = 0, None
    for tick in ticks(fields, zone, after=max(after, until - REMEMBERED), until=edge):
        count, first = count + 1, first or tick
        last.append(tick)
    old, on_time = list(last), tuple((tick, False) for tick in fresh)
    if missed == "once":
        made_up = () if fresh or not old else ((old[-1], True),)
        return Due((*made_up, *on_time), (), tuple(old[: len(old) - len(made_up)][-RECORDED:]))
    kept = old[-catch_up_limit:] if missed == "all" else []
    left = old[: len(old) - len(kept)][-RECORDED:]
    runs = (*((tick, True) for tick in kept), *on_time)
    in_all = count - len(kept)
    return Due(runs, tuple(left), (), in_all, first if in_all else None)


class Timetable:
    """Keeps the schedules for as long as one relay leads.

    Args:
        crons: The schedules that this process declares.
        jobs: Every job it knows, by name.
        observer: Told of each run that ended.
    """

    def __init__(self, crons: Iterable[Cron], jobs: Mapping[str, Job], observer: Observer = SILENT) -> None:
        self._crons = tuple(crons)
        self._names = [cron.title for cron in self._crons]
        self._runs = Runs(jobs, observer)
        self._again_at = 0.0

    async def declare(self, connection: asyncpg.Connection, at: datetime) -> None:
        """Write the schedules of code down, and forget those that nobody declares for a week."""
        async with connection.transaction():
            for cron in sorted(self._crons, key=lambda cron: cron.title):
                await connection.execute(
                    _DECLARE,
                    cron.title,
                    cron.schedule,
                    cron.timezone,
                    cron.job.name,
                    msgspec.json.encode(cron.arguments).decode(),
                    cron.missed,
                    cron.catch_up_limit,
                    cron.overlap,
                    cron.late_after_seconds,
                    at - LOOKBACK,
                )
            await connection.execute(_FORGET, self._names)

    async def keep(self, connection: asyncpg.Connection, until: datetime) -> None:
        """Do what is due, unless that was done a moment ago."""
        if monotonic_seconds() < self._again_at:
            return
        await self.advance(connection, until)
        self._again_at = monotonic_seconds() + PAUSE_SECONDS

    async def advance(self, connection: asyncpg.Connection, until: datetime) -> None:
        """Follow the runs there are, begin those that are due at ``until``, and those that waited."""
        await self._runs.settle(connection, until)
        for name in await connection.fetch(_DUE, until, self._names, BATCH):
            try:
                async with connection.transaction():
                    await self._look_at(connection, name["name"], until)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                # one that cannot be kept must not keep the others from running
                await connection.execute(_LOOKED_AT, name["name"], until, None, str(error))
        await self._runs.begin_waiting(connection)

    async def _look_at(self, connection: asyncpg.Connection, name: str, until: datetime) -> None:
        row = await connection.fetchrow(_HOLD, name, until)
        if row is None:
            return  # somebody changes it at this moment
        try:
            fields, zone = parse_fields(row["fields"]), find_zone(row["timezone"])
        except (BadFields, UnknownZone) as error:
            await connection.execute(_LOOKED_AT, name, until, None, str(error))
            return
        due = judge(
            fields,
            zone,
            after=row["ticked_until"].astimezone(UTC),
            until=until,
            missed=row["missed"],
            catch_up_limit=row["catch_up_limit"],
        )
        await self._act(connection, row, due)
        following = next_tick(fields, zone, max(until, row["ticked_until"]))
        fault = None if following is not None else "it never comes due"
        await connection.execute(_LOOKED_AT, name, until, following, fault)

    async def _act(self, connection: asyncpg.Connection, row: Mapping[str, Any], due: Due) -> None:
        name = row["name"]
        of = Standing(name, row["job"], row["arguments"], row["statement"], row["overlap"])
        await self._runs.record_missed(connection, name, list(due.missed), "missed")
        await self._runs.record_missed(connection, name, list(due.superseded), "superseded")
        if due.first_missed is not None and due.missed:
            event = ScheduleRunMissed(
                schedule=name,
                reason="away",
                ticks=due.missed_in_all,
                first_tick=due.first_missed,
                last_tick=due.missed[-1],
            )
            await publish(connection, event, key=name)
        # several that are made up for at once are not to skip one another
        waits = row["overlap"] == "queue" or (
            row["missed"] == "all" and any(makes_up for _, makes_up in due.runs)
        )
        for tick, makes_up in due.runs:
            kind = "catch_up" if makes_up else "tick"
            await self._runs.begin(connection, of, tick, kind=kind, waits=waits)


def check_schedules(crons: Iterable[Cron]) -> None:
    """Look whether every schedule can be read and has a name of its own.

    Raises:
        JobError: One does not.
    """
    seen: set[str] = set()
    for cron in crons:
        try:
            parse_fields(cron.schedule)
            find_zone(cron.timezone)
        except (BadFields, UnknownZone) as error:
            raise JobError(f"schedule {cron.title!r}: {error}") from error
        if cron.title in seen:
            raise JobError(f"two schedules are called {cron.title!r}; give one of them a name")
        seen.add(cron.title)
