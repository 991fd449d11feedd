"""Make schedules, change them, pause them, have them run, and see what became of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec
from msgspec import UNSET
from sqlalchemy.exc import DBAPIError

from modules.schedules.errors import BadSchedule, ScheduleBusy, ScheduleDeclared, ScheduleExists, UnknownJob
from modules.schedules.events import (
    ScheduleCreated,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleRunRequested,
    ScheduleUpdated,
)
from modules.schedules.repositories import ScheduleRepository
from monohull.kernel import outbox
from monohull.kernel.cron import BadFields, UnknownZone, find_zone, parse_fields
from monohull.kernel.database.engine import driver_error
from monohull.kernel.errors import NotFound, SchemaConflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from modules.schedules.dtos import CreateSchedule, SchedulePatch, ScheduleRunView, ScheduleView
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page

ABSENT: Final = "No schedule has this name."
MAX_ARGUMENT_BYTES: Final = 65_536
_DECLARED: Final = frozenset({"code", "project"})
_BUSY: Final = "schedule_busy"
"""What the function in the schema calls the rule that it refuses by."""
_COPIED: Final = (
    "name",
    "schedule",
    "timezone",
    "job",
    "arguments",
    "missed",
    "catch_up_limit",
    "overlap",
    "late_after_seconds",
)


class Schedules:
    """The schedules of this instance.

    Args:
        database: Of the owner.
        jobs: Names of the jobs that the API may schedule: those of the application's own modules.
    """

    def __init__(self, database: Database, jobs: frozenset[str]) -> None:
        self._database = database
        self._jobs = jobs

    async def page(self, page: Page) -> tuple[Sequence[ScheduleView], int]:
        """Return a page of schedules by name, and how many there are."""
        async with self._database.unit_of_work() as work:
            return await ScheduleRepository(work).page(page)

    async def get(self, name: str) -> ScheduleView:
        """Return a schedule.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            return await _find(ScheduleRepository(work), name)

    async def create(self, wanted: CreateSchedule) -> ScheduleView:
        """Make a schedule.

        Raises:
            BadSchedule: 400. UnknownJob: 400. ScheduleExists: 409.
        """
        values = msgspec.structs.asdict(wanted)
        self._check(values)
        self._check_job(wanted.job)
        async with self._changing() as work:
            if not await work.add(values):
                raise ScheduleExists(f"There is a schedule called {wanted.name} already.")
            created = ScheduleCreated(
                schedule=wanted.name, fields=wanted.schedule, timezone=wanted.timezone, job=wanted.job
            )
            await outbox.publish(work.session, created, key=wanted.name)
            return await _find(work, wanted.name)

    async def change(self, name: str, wanted: SchedulePatch) -> ScheduleView:
        """Change a schedule that the API or SQL made. Ticks before the change are not made up for.

        Raises:
            NotFound: 404. ScheduleDeclared: 409. BadSchedule: 400. UnknownJob: 400.
        """
        given = {key: value for key, value in msgspec.structs.asdict(wanted).items() if value is not UNSET}
        async with self._changing() as work:
            before = await _find_own(work, name)
            if before.statement is not None and given.keys() & {"job", "arguments"}:
                raise ScheduleDeclared(
                    "This schedule runs a statement, which the owner of the database alone may change.",
                    hint="Change it with monohull.schedule_statement() as the owner.",
                )
            values = {key: getattr(before, key) for key in _COPIED} | given
            self._check(values)
            if given.get("job", before.job) != before.job:
                self._check_job(values["job"])
            await work.change(values)
            changed = tuple(key for key in given if given[key] != getattr(before, key))
            if changed:
                event = ScheduleUpdated(schedule=name, changed=changed)
                await outbox.publish(work.session, event, key=name)
            return await _find(work, name)

    async def delete(self, name: str) -> None:
        """Delete a schedule that the API or SQL made; its history stays.

        Raises:
            NotFound: 404. ScheduleDeclared: 409.
        """
        async with self._changing() as work:
            await _find_own(work, name)
            await work.remove(name)
            await outbox.publish(work.session, ScheduleDeleted(schedule=name), key=name)

    async def pause(self, name: str) -> ScheduleView:
        """Have a schedule do nothing until it is resumed.

        Raises:
            NotFound: 404.
        """
        async with self._changing() as work:
            if not (await _find(work, name, holds=True)).is_paused:
                await work.pause(name)
                await outbox.publish(work.session, SchedulePaused(schedule=name), key=name)
            return await _find(work, name)

    async def resume(self, name: str) -> ScheduleView:
        """Let a schedule go on; ticks of the pause are not made up for.

        Raises:
            NotFound: 404.
        """
        async with self._changing() as work:
            if (await _find(work, name, holds=True)).is_paused:
                await work.resume(name)
                await outbox.publish(work.session, ScheduleResumed(schedule=name), key=name)
            return await _find(work, name)

    async def run(self, name: str) -> ScheduleRunView:
        """Have a schedule run once, paused or not, and return the run, which waits for the relay.

        Raises:
            NotFound: 404. ScheduleBusy: 409, a run goes on and the schedule lets none overlap.
        """
        try:
            async with self._changing() as work:
                await _find(work, name, holds=True)
                run_id = await work.run(name)
                requested = ScheduleRunRequested(schedule=name, run_id=str(run_id))
                await outbox.publish(work.session, requested, key=name)
                return await work.get_run(run_id)
        except SchemaConflict as conflict:
            if conflict.rule == _BUSY:
                raise ScheduleBusy(f"A run of the schedule {name} has not ended.") from conflict
            raise

    async def runs(
        self, page: Page, *, schedule: str | None = None, outcome: str | None = None
    ) -> tuple[Sequence[ScheduleRunView], int]:
        """Return a page of runs, the latest tick first, and how many there are; of deleted schedules too."""
        async with self._database.unit_of_work() as work:
            return await ScheduleRepository(work).runs(page, schedule=schedule, outcome=outcome)

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[ScheduleRepository]:
        try:
            async with self._database.unit_of_work() as work:
                yield ScheduleRepository(work)
        except DBAPIError as error:
            cause = driver_error(error)
            if isinstance(cause, asyncpg.InvalidParameterValueError):
                # the database has its own list of time zones, and its own idea of white space
                raise BadSchedule("The schedule cannot be read.", details=str(cause.args[0])) from error
            raise

    def _check(self, values: Mapping[str, Any]) -> None:
        check_times(values["schedule"], values["timezone"])
        check_arguments(values["arguments"])

    def _check_job(self, name: str) -> None:
        if name not in self._jobs:
            raise UnknownJob(f"No job of the application is called {name!r}.")


def check_times(fields: str, timezone: str) -> None:
    """Look whether a schedule can be read.

    Raises:
        BadSchedule: 400.
    """
    try:
        parse_fields(fields)
        find_zone(timezone)
    except BadFields as error:
        raise BadSchedule("The schedule cannot be read.", details=str(error)) from error
    except UnknownZone as error:
        raise BadSchedule(
            "There is no such time zone.", details=str(error), hint="Write one such as UTC or Europe/Berlin."
        ) from error


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Look whether arguments can be stored.

    Raises:
        BadSchedule: 400, they are too long or hold a zero byte, which the database takes nowhere.
    """
    encoded = msgspec.json.encode(arguments)
    if len(encoded) > MAX_ARGUMENT_BYTES:
        raise BadSchedule(
            f"The arguments have more than {MAX_ARGUMENT_BYTES} bytes.", hint="Pass ids, not the things."
        )
    if rb"\u0000" in encoded:
        raise BadSchedule("The arguments hold a zero byte.", hint=r"Leave \u0000 out.")


async def _find(work: ScheduleRepository, name: str, *, holds: bool = False) -> ScheduleView:
    found = await work.find(name, holds=holds)
    if found is None:
        raise NotFound(ABSENT)
    return found


async def _find_own(work: ScheduleRepository, name: str) -> ScheduleView:
    found = await _find(work, name, holds=True)
    if found.source in _DECLARED:
        where = "code" if found.source == "code" else "monohull.toml"
        raise ScheduleDeclared(f"The schedule {name} is declared in {where}.")
    return found
