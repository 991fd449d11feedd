"""Read the ledger: which jobs there are, page by page, and everything about one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.jobs.dtos import FIRST_YEAR, LAST_YEAR, AttemptView, JobSummary, JobView, Selection
from monohull.kernel.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from monohull.kernel.database.engine import Database

ABSENT: Final = "No job has this id."

_CURSOR: Final = re.compile(r"[0-9]{1,18}")

STATE: Final = (
    "case when j.outcome is not null then j.outcome when j.worker is not null then 'running' "
    "when j.due_at > now() then 'scheduled' else 'queued' end"
)
_SUMMARY: Final = f"""
    j.position, j.id, j.name, j.queue, j.priority, {STATE} as state, j.key, j.batch_id, j.event_id,
    j.attempts, j.progress::float8 as progress, j.progress_text, j.error, j.cancel_requested_at is not null
    and j.done_at is null as is_cancelling, j.actor, j.request_id, j.created_at, j.due_at, j.started_at,
    j.done_at
"""
_ONE: Final = f"""
    select {_SUMMARY}, j.arguments::text as arguments, j.result::text as result, j.is_result_cut,
        j.max_attempts, j.traceparent, j.worker, j.heartbeat_at
    from monohull.jobs as j where j.id = $1
"""  # noqa: S608 of our own text
_HISTORY: Final = """
    select number, worker, started_at, ended_at, outcome, error from monohull.job_attempts
    where job_id = $1 order by started_at, number limit 1000
"""

_CONDITIONS: Final[Mapping[str, str]] = {
    "ids": "j.id = any({})",
    "name": "j.name = {}",
    "queue": "j.queue = {}",
    "key": "j.key = {}",
    "event_id": "j.event_id = {}",
    "batch_id": "j.batch_id = {}",
    "since": "j.created_at >= {}",
    "until": "j.created_at < {}",
}
UNDONE: Final = (
    "(j.dispatched_at is null and j.done_at is null or j.dispatched_at is not null and j.done_at is null)"
)
"""Not done, said so that the planner finds both indexes of what is not done."""
_STATES: Final[Mapping[str, str]] = {
    "queued": f"{UNDONE} and j.worker is null and j.due_at <= now()",
    "scheduled": f"{UNDONE} and j.worker is null and j.due_at > now()",
    "running": "j.dispatched_at is not null and j.done_at is null and j.worker is not null",
    "succeeded": "j.outcome = 'succeeded'",
    "dead": "j.outcome = 'dead' and j.outcome in ('dead', 'cancelled')",
    "cancelled": "j.outcome = 'cancelled' and j.outcome in ('dead', 'cancelled')",
}
"""As the indexes have them."""


class Page(Struct, frozen=True):
    """Jobs and where the next page begins."""

    jobs: tuple[JobSummary, ...]
    next: str | None


class Search:
    """Reads jobs.

    Args:
        database: Where the ledger is.
        shown: Names of the jobs whose arguments are shown.
    """

    def __init__(self, database: Database, shown: Collection[str]) -> None:
        self._database = database
        self._shown = frozenset(shown)

    async def page(self, wanted: Selection | None, *, limit: int, cursor: str | None) -> Page:
        """Return a page of jobs, the newest first.

        Raises:
            InvalidRequest: 400, the cursor is none.
            DatabaseUnavailable: 503.
        """
        conditions, values = conditions_of(wanted)
        if cursor is not None:
            values.append(_position(cursor))
            conditions.append(f"j.position < ${len(values)}")
        values.append(limit + 1)
        where = " and ".join(conditions) or "true"
        rows = await self._fetch(
            f"select {_SUMMARY} from monohull.jobs as j where {where} "  # noqa: S608 no part comes from outside
            f"order by j.position desc limit ${len(values)}",
            *values,
        )
        shown = rows[:limit]
        following = str(shown[-1]["position"]) if len(rows) > limit else None
        return Page(tuple(_summary(row) for row in shown), following)

    async def one(self, job_id: UUID) -> JobView:
        """Return a job with its attempts, the one that runs included.

        Raises:
            NotFound: 404.
            DatabaseUnavailable: 503.
        """
        rows = await self._fetch(_ONE, job_id)
        if not rows:
            raise NotFound(ABSENT)
        row = dict(rows[0])
        history = [AttemptView(**attempt) for attempt in await self._fetch(_HISTORY, job_id)]
        if row["state"] == "running" and row["started_at"] is not None:
            history.append(
                AttemptView(
                    number=row["attempts"],
                    worker=row["worker"],
                    started_at=row["started_at"],
                    ended_at=None,
                    outcome=None,
                    error=None,
                )
            )
        row["arguments"] = _raw(row["arguments"]) if row["name"] in self._shown else None
        row["result"] = _raw(row["result"])
        return JobView(**{name: row[name] for name in _ONE_FIELDS}, history=tuple(history))

    async def _fetch(self, query: str, *values: Any) -> Sequence[Mapping[str, Any]]:
        async with self._database.connected() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            found: Sequence[Mapping[str, Any]] = await driver.fetch(query, *values)
            return found


_ONE_FIELDS: Final = tuple(name for name in JobView.__struct_fields__ if name != "history")


def conditions_of(wanted: Selection | None) -> tuple[list[str], list[Any]]:
    """Return what a selection demands of a job ``j``, and the values for ``$1`` and so on."""
    conditions: list[str] = []
    values: list[Any] = []
    if wanted is None:
        return conditions, values
    for field, condition in _CONDITIONS.items():
        if (value := getattr(wanted, field)) is not None:
            values.append(value)
            conditions.append(condition.format(f"${len(values)}"))
    if wanted.state is not None:
        conditions.append(_STATES[wanted.state])
    return conditions, values


def demand_zones(times: Iterable[datetime | None]) -> None:
    """Let times pass that say their zone.

    Raises:
        InvalidRequest: 400.
    """
    for time in times:
        if time is not None and time.tzinfo is None:
            raise InvalidRequest(
                "A time needs its zone.", details=time.isoformat(), hint="Write Z behind it for UTC."
            )
        if time is not None and not FIRST_YEAR <= time.year <= LAST_YEAR:
            raise InvalidRequest(
                f"A time is in one of the years {FIRST_YEAR} to {LAST_YEAR}.", details=time.isoformat()
            )


def _position(cursor: str) -> int:
    if not _CURSOR.fullmatch(cursor):
        raise InvalidRequest("The cursor is none that a page gave.", details=cursor[:100])
    return int(cursor)


def _summary(row: Mapping[str, Any]) -> JobSummary:
    return JobSummary(**{name: row[name] for name in JobSummary.__struct_fields__})


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
