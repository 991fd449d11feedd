"""What ``monohull doctor`` looks at: whether jobs are run, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from monohull.kernel.diagnosis import Diagnosis
from monohull.kernel.outbox import outbox_lag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monohull.kernel.outbox import Lag
    from monohull.kernel.runtime import Runtime

LATE_SECONDS: Final = 300.0
RELAY_LATE_SECONDS: Final = 60.0
START: Final = "start one with `monohull worker`"

_WAITING: Final = """
    select queue, extract(epoch from now() - min(due_at))::float8 as seconds
    from monohull.jobs as jobs
    where (dispatched_at is null and done_at is null or dispatched_at is not null and done_at is null)
        and worker is null and due_at <= now()
        and not exists (select from monohull.job_queue_pauses as pauses where pauses.queue = jobs.queue)
    group by queue order by 2 desc
"""
"""Not done, said so that the planner finds both indexes of what is not done."""
_LETTERS: Final = """
    select name, count(*) as letters from monohull.dead_letters
    where died_at > now() - interval '1 day' group by name order by 2 desc, 1
"""
_SILENT: Final = """
    select count(*) from monohull.jobs
    where dispatched_at is not null and done_at is null and worker is not null
        and heartbeat_at < now() - interval '60 seconds'
"""


class Seen(Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        waiting: For how long the oldest job that is due waits, in seconds, by queue; those paused left out.
        letters: Dead letters of the last day, by job.
        silent: Attempts whose worker was not heard of for a minute.
        lag: What the relay has to do.
        served: Queues by the workers that live; each is named as often as it is served.
    """

    waiting: Mapping[str, float]
    letters: Mapping[str, int]
    silent: int
    lag: Lag
    served: Sequence[str]


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether workers live, whether they keep up, and whether jobs were given up."""
    async with runtime.database.connection() as connection:
        waiting = {row["queue"]: row["seconds"] for row in await connection.fetch(_WAITING)}
        letters = {row["name"]: row["letters"] for row in await connection.fetch(_LETTERS)}
        silent = await connection.fetchval(_SILENT)
    lag = await outbox_lag(runtime.database)
    workers: list[dict[str, Any]] = await runtime.queues.workers()
    served = [queue for worker in workers for queue in worker["queues"]]
    return judge(Seen(waiting=waiting, letters=letters, silent=silent, lag=lag, served=served))


def judge(seen: Seen) -> Diagnosis:
    """Return the worst of what was found, and what to do about it."""
    for state, message in (("wrong", _wrong(seen)), ("advice", _advice(seen))):
        if message is not None:
            return Diagnosis("jobs", "wrong" if state == "wrong" else "advice", message)
    return Diagnosis("jobs", "ok", "workers live and keep up; no job was given up within a day")


def _wrong(seen: Seen) -> str | None:
    unserved = sorted(set(seen.waiting) - set(seen.served))
    longest = max(seen.lag.oldest_seconds, *seen.waiting.values(), 0.0)
    if not seen.served and longest > RELAY_LATE_SECONDS:
        return f"no worker is alive, and jobs or events wait for {longest:.0f} s; {START}"
    if seen.served and unserved:
        names = ", ".join(unserved)
        return f"no worker serves the queues {names}, where jobs wait; see MONOHULL_WORKER_QUEUES"
    if seen.lag.oldest_seconds > RELAY_LATE_SECONDS:
        return (
            f"the relay is {seen.lag.oldest_seconds:.0f} s behind ({seen.lag.events} events, {seen.lag.jobs} "
            "jobs); see the workers' log for `relay` and the load of the database"
        )
    queue, seconds = max(seen.waiting.items(), key=lambda item: item[1], default=("", 0.0))
    if seconds > LATE_SECONDS:
        return (
            f"a job of the queue {queue} waits for {seconds:.0f} s; start more workers, or raise "
            "MONOHULL_WORKER_CONCURRENCY"
        )
    return None


def _advice(seen: Seen) -> str | None:
    if not seen.served:
        return f"no worker is alive: nothing runs in the background; {START}"
    if seen.silent:
        return (
            f"{seen.silent} jobs run in workers that were not heard of for a minute; they begin again once "
            "these are known to be dead"
        )
    if seen.letters:
        listed = ", ".join(f"{name} ({letters})" for name, letters in list(seen.letters.items())[:5])
        return f"given up within a day: {listed}; see `monohull jobs list --state dead`"
    return None
