"""Batches, delays and cancelling survive what is killed and emptied."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from modules.jobs.dtos import Selection
from modules.jobs.services import JobRuns
from monohull.kernel.attempts import Attempts
from monohull.kernel.batches import Call, enqueue_batch, enqueue_call
from monohull.kernel.clock import now
from monohull.kernel.dispatch import dispatch_jobs, duties_of
from monohull.kernel.queues import new_message
from tests.crash_jobs.module import module, tell, work

if TYPE_CHECKING:
    from tests.crash_jobs.conftest import Fleet
    from tests.workbench import Workbench

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def call(n: int, seconds: float = 0.0, **more: Any) -> Call:
    return Call(job=work, arguments={"n": n, "seconds": seconds}, **more)


async def test_redis_is_emptied_between_asking_and_running(bench: Workbench, fleet: Fleet) -> None:
    runs = JobRuns(bench.runtime)
    async with bench.runtime.database.unit_of_work() as session:
        batch_id = await enqueue_batch(session, [call(n) for n in range(10)], completion=Call(job=tell))
        delayed = await enqueue_call(session, call(20, due_at=now() + timedelta(seconds=4)))
        unwanted = await enqueue_call(session, call(21))
    duties = duties_of([module], bench.runtime.events)
    async with bench.runtime.database.connection() as connection:
        sent = await dispatch_jobs(connection, bench.runtime.queues, duties.jobs)
    assert sent.sent == 11
    assert delayed is not None
    assert unwanted is not None
    assert (await runs.cancel_one(unwanted)).state == "cancelled"
    await bench.runtime.queues.redis.flushall()
    fleet.start()
    await marks(bench, "told")
    rows = await bench.all_done()
    outcomes = {row["id"]: row["outcome"] for row in rows}
    assert outcomes[unwanted] == "cancelled"
    assert outcomes[delayed] == "succeeded"
    ended = await bench.rows("select subject from public.marks where what = 'ended'")
    assert sorted(row["subject"] for row in ended) == sorted([*map(str, range(10)), "20"])
    batch = await runs.batch(batch_id)
    assert (batch.pending, batch.succeeded) == (0, 10)
    assert [row["subject"] for row in await marks(bench, "told")] == ["10"]
    assert fleet.stop() == [0]


async def test_a_worker_killed_while_it_was_to_stop(bench: Workbench, fleet: Fleet) -> None:
    runs = JobRuns(bench.runtime)
    victim = fleet.start()
    async with bench.runtime.database.unit_of_work() as session:
        job_id = await enqueue_call(session, call(1, seconds=60))
    await marks(bench, "begun")
    fleet.kill(victim)
    await runs.cancel(Selection(name="crash.work"))
    fleet.start()
    (row,) = await bench.all_done()
    assert (row["id"], row["outcome"]) == (job_id, "cancelled")
    job = await runs.search.one(row["id"])
    assert [attempt.outcome for attempt in job.history] == ["lost"]
    assert len(await bench.rows("select from public.marks where what = 'begun'")) == 1, "not begun again"


async def test_the_worker_is_killed_and_redis_emptied(bench: Workbench, fleet: Fleet) -> None:
    """Nothing but the ledger knows of the attempt: its heartbeat ends, and the job begins again."""
    runs = JobRuns(bench.runtime)
    victim = fleet.start()
    async with bench.runtime.database.unit_of_work() as session:
        job_id = await enqueue_call(session, call(1, seconds=1))
    await marks(bench, "begun")
    fleet.kill(victim)
    await bench.runtime.queues.redis.flushall()
    fleet.start()
    assert job_id is not None
    (row,) = await bench.all_done()
    assert (row["outcome"], row["attempts"]) == ("succeeded", 2)
    assert [a.outcome for a in (await runs.search.one(job_id)).history] == ["lost", "succeeded"]


async def test_claimed_twice_it_has_one_final_state(bench: Workbench) -> None:
    """The same message comes to two workers at once; later a lost attempt ends beside the next one."""
    async with bench.runtime.database.unit_of_work() as session:
        job_id = await enqueue_call(session, call(1, seconds=3))
    assert job_id is not None
    workers = [Attempts(bench.runtime, {work.name: work}, worker=f"w{n}") for n in range(3)]
    arguments = {"n": 1, "seconds": 3}

    async def run(worker: Attempts, attempts: int) -> None:
        meta = {"job_id": str(job_id), "attempts": attempts}
        message = new_message(work, arguments, key=f"{job_id}:{attempts}", meta=meta)
        await worker.run(message, arguments)

    async def overtake() -> None:
        await marks(bench, "begun")
        await run(workers[2], 1)

    await asyncio.gather(run(workers[0], 0), run(workers[1], 0), overtake())
    (row,) = await bench.all_done()
    assert (row["outcome"], row["attempts"]) == ("succeeded", 2)
    assert len(await bench.rows("select from public.marks where what = 'begun'")) == 2
    history = (await JobRuns(bench.runtime).search.one(job_id)).history
    assert [attempt.outcome for attempt in history if attempt.number == 1] == ["succeeded"]


async def marks(bench: Workbench, what: str) -> list[Any]:
    return await bench.until_rows(f"select subject from public.marks where what = '{what}'", any)
