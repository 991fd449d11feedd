"""``[[schedules]]`` of ``monohull.toml``: what the project wants to run by itself.

[[schedules]]
name = "nightly-report"
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
job = "reports.build"
arguments = { kind = "daily" }

[[schedules]]
name = "forget-drafts"
schedule = "0 * * * *"
statement = "delete from drafts where changed_at < now() - interval '30 days'"
role = "service_role"

Each worker that starts brings the table in line with its file. An entry that
cannot be used changes nothing: what was there under its name goes on.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from modules.schedules.dtos import DeclaredSchedule
from modules.schedules.services import check_arguments, check_times
from monohull.kernel.errors import Problem
from monohull.kernel.observation import Observation
from monohull.kernel.settings import read_project
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from monohull.kernel.runtime import Runtime

TABLE: Final = "schedules"
RETRY_SECONDS: Final = 5.0

_DECLARE: Final = """
    insert into monohull.schedules as known
        (name, source, fields, timezone, job, arguments, statement, database_role, timeout_seconds, missed,
         catch_up_limit, overlap, late_after_seconds)
    values ($1, 'project', $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, $11, $12)
    on conflict (name) do update set
        fields = excluded.fields, timezone = excluded.timezone, job = excluded.job,
        arguments = excluded.arguments, statement = excluded.statement,
        database_role = excluded.database_role, timeout_seconds = excluded.timeout_seconds,
        missed = excluded.missed, catch_up_limit = excluded.catch_up_limit, overlap = excluded.overlap,
        late_after_seconds = excluded.late_after_seconds, updated_at = now()
    where known.source = 'project'
    returning name
"""
_REMOVE: Final = "delete from monohull.schedules where source = 'project' and name <> all ($1::text[])"


class ScheduleRefused(Observation, frozen=True, kw_only=True):
    """An entry of ``[[schedules]]`` in ``monohull.toml`` cannot be used."""

    event = "schedule.refused"
    level = "error"

    schedule: str
    reason: str


class Declared(Struct, frozen=True):
    """What the file says.

    Attributes:
        schedules: Those that can be read.
        faults: What is wrong with the others, by name or number.
        names: Of all entries that have one.
    """

    schedules: tuple[DeclaredSchedule, ...]
    faults: Mapping[str, str]
    names: tuple[str, ...]


def read_declared(document: Mapping[str, Any]) -> Declared:
    """Read ``[[schedules]]``; nothing is raised, what is wrong with an entry is in `Declared.faults`."""
    entries = document.get(TABLE, [])
    if not isinstance(entries, list):
        return Declared((), {TABLE: "write [[schedules]], once for each schedule"}, ())
    found: dict[str, DeclaredSchedule] = {}
    faults: dict[str, str] = {}
    names: list[str] = []
    for number, entry in enumerate(entries, start=1):
        name = entry.get("name") if isinstance(entry, dict) else None
        label = name if isinstance(name, str) else f"entry {number}"
        if isinstance(name, str):
            names.append(name)
        try:
            declared = msgspec.convert(entry, DeclaredSchedule)
            check_times(declared.schedule, declared.timezone)
            check_arguments(declared.arguments)
        except (msgspec.ValidationError, Problem, TypeError) as error:
            # TypeError: a date of TOML among the arguments, which JSON does not have
            faults[label] = _reason(error)
            continue
        if declared.name in found:
            faults[label] = "two entries have this name"
        found.setdefault(declared.name, declared)
    return Declared(tuple(found.values()), faults, tuple(names))


def _reason(error: Exception) -> str:
    details = error.details if isinstance(error, Problem) else None
    return details or str(error)


async def apply_declared(connection: asyncpg.Connection, declared: Declared) -> Mapping[str, str]:
    """Bring the table in line with the file; return what is wrong, the file's faults included."""
    faults = dict(declared.faults)
    for one in sorted(declared.schedules, key=lambda one: one.name):
        try:
            name = await connection.fetchval(_DECLARE, *_values(one))
        except asyncpg.DataError as error:  # the schema's own look: a role that may not be used, a zone
            faults[one.name] = str(error)
            continue
        if name is None:
            faults[one.name] = (
                "code, the API or SQL made a schedule of this name; delete it or choose another"
            )
    if TABLE not in faults:
        await connection.execute(_REMOVE, declared.names)
    return faults


def _values(one: DeclaredSchedule) -> Sequence[Any]:
    return (
        one.name, one.schedule, one.timezone, one.job, msgspec.json.encode(one.arguments).decode(),
        one.statement, one.role, one.timeout_seconds, one.missed, one.catch_up_limit, one.overlap,
        one.late_after_seconds,
    )  # fmt: skip


@asynccontextmanager
async def keeping_project(runtime: Runtime) -> AsyncIterator[None]:
    """Apply the file of the project beside the block, as soon as the database lets us."""
    declared = read_declared(read_project(runtime.settings.project))
    async with beside(_until_applied(runtime, declared), name="schedules of the project"):
        yield


async def _until_applied(runtime: Runtime, declared: Declared) -> None:
    while True:
        try:
            async with runtime.database.connection() as connection:
                faults = await apply_declared(connection, declared)
        except (Problem, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await asyncio.sleep(RETRY_SECONDS)  # it is away, or not migrated yet
            continue
        for name, reason in faults.items():
            runtime.observer.observe(ScheduleRefused(schedule=name, reason=reason))
        return
