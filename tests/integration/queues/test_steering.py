"""What is said of a job from outside while it waits and runs: priority, pause, cancel, batches, SQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from modules.jobs.dtos import Selection
from modules.jobs.services import JobRuns
from monohull.kernel.attempts import JobCancelled
from monohull.kernel.batches import Call, enqueue_batch, enqueue_call
from monohull.kernel.clock import now
from monohull.kernel.ledger import MAX_RESULT_CHARACTERS, Ledger
from monohull.kernel.queues import JobError, enqueue, job
from monohull.kernel.trace import current_trace, new_trace
from tests.integration.jobs.module import (
    BATCHES,
    HELD,
    RAN,
    count,
    fail,
    linger,
    module,
    secretive,
    tell,
    urgent,
)
from tests.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from uuid import UUID

    from monohull.kernel.home import Connections


@pytest.fixture
async def bench(connections: Connections) -> AsyncIterator[Workbench]:
    RAN.clear()
    BATCHES.clear()
    HELD.clear()
    bench = Workbench(module, connections, worker_concurrency="1")
    async with bench.runtime.running():
        yield bench


async def ask(bench: Workbench, *calls: Call) -> list[UUID | None]:
    async with bench.runtime.database.unit_of_work() as session:
        return [await enqueue_call(session, call) for call in calls]


def counting(n: int, **more: Any) -> Call:
    return Call(job=count, arguments={"n": n}, **more)


def numbers() -> list[Any]:
    return [n for n in RAN if isinstance(n, int)]


async def test_the_urgent_goes_first(bench: Workbench) -> None:
    calls = [counting(n, priority=n % 10) for n in range(40)]
    await ask(bench, *calls)
    async with bench.worker():
        await bench.all_done()
    assert [n % 10 for n in numbers()] == sorted((n % 10 for n in range(40)), reverse=True)
    for priority in range(10):
        of_one = [n for n in numbers() if n % 10 == priority]
        assert of_one == sorted(of_one), "of one priority the oldest first"


async def test_the_urgent_overtakes_what_waits_already(bench: Workbench) -> None:
    HELD.append("until it waits")
    await ask(bench, Call(job=linger, arguments={"seconds": 0}), *(counting(n) for n in range(30)))
    async with bench.worker():
        await bench.until(lambda: "begun" in RAN)
        await ask(bench, counting(1000, priority=9))
        HELD.clear()
        await bench.all_done()
    # two rounds of what one slot runs may be in Redis already
    assert numbers().index(1000) <= 3
    assert len(numbers()) == 31


async def test_a_paused_queue_begins_nothing(bench: Workbench) -> None:
    runs = JobRuns(bench.runtime)
    async with bench.worker():
        HELD.append("until it is paused")
        await ask(bench, Call(job=linger, arguments={"seconds": 0.5}), counting(1), counting(2))
        await bench.until(lambda: "begun" in RAN)
        assert (await runs.pause("default")).paused_at is not None
        HELD.clear()
        await bench.until(lambda: "ended" in RAN)
        await ask(bench, Call(job=urgent, arguments={"n": 3}))
        await bench.until(lambda: "3" in RAN)
        assert numbers() == []
        (shown,) = [queue for queue in await runs.queues() if queue.name == "default"]
        assert (shown.waiting, shown.running, shown.scheduled) == (2, 0, 0)
        assert shown.oldest_seconds > 0
        assert (await runs.resume("default")).paused_at is None
        await bench.all_done()
    assert numbers() == [1, 2]


async def test_what_waits_is_cancelled_at_once(bench: Workbench) -> None:
    runs = JobRuns(bench.runtime)
    (waiting, scheduled) = await ask(bench, counting(1), counting(2, due_at=later()))
    assert waiting is not None
    assert scheduled is not None
    assert (await runs.search.one(scheduled)).state == "scheduled"
    for job_id in (waiting, scheduled):
        assert (await runs.cancel_one(job_id)).state == "cancelled"
        assert (await runs.cancel_one(job_id)).state == "cancelled"
    async with bench.worker():
        await ask(bench, counting(3))
        await bench.all_done()
    assert numbers() == [3]
    assert (await runs.retry_one(waiting)).state == "queued"
    async with bench.worker():
        await bench.all_done()
    assert numbers() == [3, 1]


async def test_what_runs_is_stopped(bench: Workbench) -> None:
    runs = JobRuns(bench.runtime)
    async with bench.worker():
        (job_id,) = await ask(bench, Call(job=linger, arguments={"seconds": 60}))
        assert job_id is not None
        await bench.until(lambda: "begun" in RAN)
        running = await runs.search.one(job_id)
        assert running.state == "running"
        # the second comes with the next heartbeat
        assert (running.progress, running.progress_text) in {(0.5, "half"), (0.75, "three quarters")}
        assert [attempt.outcome for attempt in running.history] == [None]
        told = await runs.cancel_one(job_id)
        assert told.is_cancelling or told.state == "cancelled"
        await bench.all_done()
        done = await runs.search.one(job_id)
        assert (done.state, done.is_cancelling) == ("cancelled", False)
        assert [attempt.outcome for attempt in done.history] == ["cancelled"]
        # it goes on like any other once somebody asks again: what told it to stop is about the attempt before
        await runs.retry_one(job_id)
        await bench.until(lambda: RAN.count("begun") == 2)
        await asyncio.sleep(1.5)
        assert RAN == ["begun", "stopped", "begun"]
        await runs.cancel_one(job_id)
        await bench.all_done()
    assert [o.attempt for o in bench.seen if isinstance(o, JobCancelled)] == [1, 2]


async def test_the_ledger_tells_to_stop_when_redis_does_not(bench: Workbench) -> None:
    runs = JobRuns(bench.runtime)
    async with bench.worker():
        (job_id,) = await ask(bench, Call(job=linger, arguments={"seconds": 60}))
        await bench.until(lambda: "begun" in RAN)
        await bench.rows(
            "update monohull.jobs set cancel_requested_at = now() where id = $1 returning 1", job_id
        )
        await bench.all_done()
        assert job_id is not None
        job = await runs.search.one(job_id)
        assert (job.state, job.progress_text) == ("cancelled", "three quarters"), "told with a heartbeat"
        assert job.heartbeat_at is not None


async def test_attempts_are_kept(bench: Workbench) -> None:
    runs = JobRuns(bench.runtime)
    async with bench.worker():
        (job_id,) = await ask(bench, Call(job=fail, arguments={"n": 1}))
        await bench.all_done()
        assert job_id is not None
        dead = await runs.search.one(job_id)
        assert (dead.state, dead.error, dead.attempts) == ("dead", "ValueError: no 1", 2)
        assert [(a.number, a.outcome, a.error) for a in dead.history] == [
            (1, "failed", "ValueError: no 1"),
            (2, "failed", "ValueError: no 1"),
        ]
        assert all(a.ended_at is not None and a.started_at <= a.ended_at for a in dead.history)
        await runs.retry_one(job_id)
        assert await bench.rows("select from monohull.dead_letters") == []
        await bench.all_done()
        again = await runs.search.one(job_id)
        assert (again.state, again.attempts, len(again.history)) == ("dead", 4, 4), "as many as a new one"
        assert len(await bench.rows("select from monohull.dead_letters")) == 1


async def test_a_limit_of_attempts_of_its_own(bench: Workbench) -> None:
    async with bench.worker():
        await ask(bench, Call(job=fail, arguments={"n": 1}, max_attempts=3))
        (row,) = await bench.all_done()
    assert (row["attempts"], row["outcome"]) == (3, "dead")


async def test_arguments_that_do_not_fit_are_given_up_at_once(bench: Workbench) -> None:
    async with bench.worker():
        await ask(bench, Call(job=count, arguments={"n": "one"}), Call(job=count, arguments={"n": 1}))
        rows = await bench.all_done()
    assert [(row["attempts"], row["outcome"]) for row in rows] == [(1, "dead"), (1, "succeeded")]
    assert "Expected `int`, got `str` - at `$.n`" in rows[0]["error"]
    assert rows[1]["result"] == '{"n":1,"text":""}'


async def test_a_long_result_is_cut(bench: Workbench) -> None:
    runs = JobRuns(bench.runtime)
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            job_id = await enqueue(session, secretive, word="hush")
        await bench.all_done()
    assert job_id is not None
    job = await runs.search.one(job_id)
    assert job.is_result_cut
    assert MAX_RESULT_CHARACTERS < len(bytes(job.result or b"")) < MAX_RESULT_CHARACTERS + 10
    assert job.arguments is None, "what a job that is not public gets is its own business"


async def test_a_batch_is_followed_by_one_job(bench: Workbench) -> None:
    async with bench.runtime.database.unit_of_work() as session:
        batch_id = await enqueue_batch(
            session,
            [counting(1), counting(2), Call(job=fail, arguments={"n": 3})],
            completion=Call(job=tell, arguments={"to": "zero \x00"}),
        )
    async with bench.worker():
        await bench.until(lambda: BATCHES)
        await bench.all_done()
    assert BATCHES == [{"to": "zero \x00", "total": 3, "succeeded": 2, "dead": 1}]
    runs = JobRuns(bench.runtime)
    batch = await runs.batch(batch_id)
    assert (batch.pending, batch.succeeded, batch.dead, batch.cancelled) == (0, 2, 1, 0)
    # over is over: what is tried again afterwards counts no more, and nothing follows twice
    await runs.retry(Selection(batch_id=batch_id, state="dead"))
    async with bench.worker():
        await bench.all_done()
    assert await runs.batch(batch_id) == batch
    assert len(BATCHES) == 1


async def test_a_batch_waits_for_what_is_tried_again(bench: Workbench) -> None:
    runs = JobRuns(bench.runtime)
    async with bench.runtime.database.unit_of_work() as session:
        batch_id = await enqueue_batch(
            session,
            [counting(1), counting(2, due_at=later())],
            completion=Call(job=tell),
        )
        with pytest.raises(ValueError, match="at least one"):
            await enqueue_batch(session, [])
    async with bench.worker():
        await bench.until(lambda: numbers() == [1])
        await runs.cancel(Selection(batch_id=batch_id, state="succeeded"))
        assert (await runs.batch(batch_id)).pending == 1
        await runs.cancel(Selection(batch_id=batch_id))
        await bench.until(lambda: BATCHES)
    batch = await runs.batch(batch_id)
    assert (batch.succeeded, batch.cancelled) == (1, 1)
    assert batch.done_at is not None


async def test_bulk_retry_leaves_keys_alone_that_are_taken(bench: Workbench) -> None:
    runs = JobRuns(bench.runtime)
    ids = []
    for n in range(2):
        ids += await ask(bench, counting(n, key="k"))
        await runs.cancel(Selection(name="shop.count"))
    assert (await runs.retry(Selection(name="shop.count"))).ids == (ids[1],), "of each key the newest"
    assert (await runs.retry(Selection(name="shop.count"))).ids == ()
    async with bench.worker():
        await bench.all_done()
    assert numbers() == [1]
    assert (await runs.delete(Selection(name="shop.count"))).ids == tuple(ids)
    assert await bench.rows("select from monohull.job_attempts") == []


async def test_changes_that_cross(bench: Workbench) -> None:
    """Two people change the same jobs in opposite ways, many at once: nobody gets a 500, and counts hold."""
    runs = JobRuns(bench.runtime)
    batches = []
    for _ in range(3):
        async with bench.runtime.database.unit_of_work() as session:
            batches.append(await enqueue_batch(session, [counting(n) for n in range(40)]))
    kept = await ask(bench, counting(1))

    async def change(turn: int) -> None:
        if turn % 2:
            await runs.cancel(Selection(name="shop.count", batch_id=batches[turn % 3]))
        else:
            await runs.retry(Selection(name="shop.count"))

    await asyncio.gather(*(change(turn) for turn in range(24)))
    for batch_id in batches:
        batch = await runs.batch(batch_id)
        rows = await bench.rows("select outcome from monohull.jobs where batch_id = $1", batch_id)
        if batch.done_at is None:
            assert batch.pending == sum(row["outcome"] is None for row in rows)
        assert batch.pending + batch.cancelled == 40
    assert kept[0] is not None
    assert (await runs.search.one(kept[0])).state == "queued"


def test_a_public_job_describes_its_arguments() -> None:
    with pytest.raises(JobError, match="needs arguments="):
        job("shop.undescribed", is_public=True)
    with pytest.raises(JobError, match="0 to 9"):
        job("shop.too_urgent", priority=10)


SQL_REFUSALS = {
    "select monohull.enqueue('shop.nothing')": "no job called 'shop.nothing'",
    "select monohull.enqueue('shop.secretive', '{\"word\": \"x\"}')": "no job called 'shop.secretive'",
    "select monohull.enqueue(null)": "no job called NULL",
    "select monohull.enqueue('shop.count', '[1]')": "one JSON object",
    "select monohull.enqueue('shop.count', null)": "one JSON object",
    "select monohull.enqueue('shop.count', jsonb_build_object('text', repeat('x', 300000)))": "262144 bytes",
    "select monohull.enqueue('shop.count', queue => 'nowhere')": "no worker serves",
    "select monohull.enqueue('shop.count', priority => 10)": "an option",
    "select monohull.enqueue('shop.count', priority => -1)": "an option",
    "select monohull.enqueue('shop.count', max_attempts => 0)": "an option",
    "select monohull.enqueue('shop.count', delay => '-1 second')": "an option",
    "select monohull.enqueue('shop.count', due_at => 'infinity')": "an option",
    "select monohull.enqueue('shop.count', delay => '1 s', due_at => now())": "an option",
    "select monohull.enqueue('shop.count', key => '')": "an option",
}


async def test_from_sql(bench: Workbench) -> None:
    await Ledger(bench.runtime.database).register(module.jobs)
    async with bench.runtime.database.connection() as connection:
        for statement, message in SQL_REFUSALS.items():
            with pytest.raises(asyncpg.InvalidParameterValueError, match=message):
                await connection.execute(statement)
        rolled_back = connection.transaction()
        await rolled_back.start()
        await connection.execute("select monohull.enqueue('shop.count', '{\"n\": 1}')")
        await rolled_back.rollback()
        keyed = "select monohull.enqueue('shop.count', '{\"n\": 2}', key => 'k', due_at => '-infinity')"
        first = await connection.fetchval(keyed)
        assert await connection.fetchval(keyed) == first
        await connection.execute(
            "select monohull.enqueue('shop.urgent', '{\"n\": 3}', delay => '1 day', priority => 0)"
        )
        for role in ("anon", "authenticated", "authenticator"):
            assert not await connection.fetchval(
                "select has_function_privilege($1, 'monohull.enqueue(text, jsonb, text, integer, interval,"
                " timestamptz, text, integer)', 'execute')",
                role,
            )
        async with connection.transaction():
            await connection.execute("set local role service_role")
            await connection.execute(
                "select set_config('request.jwt.claims', '{\"sub\": \"user-9\"}', true),"
                " set_config('request.headers', '{\"x-request-id\": \"r-1\"}', true),"
                " set_config('search_path', 'pg_temp', true)"
            )
            await connection.execute("select monohull.enqueue('shop.count', '{\"n\": 4}')")
    async with bench.worker():
        await bench.until(lambda: len(numbers()) == 2)
    assert numbers() == [2, 4]
    rows = await bench.rows("select * from monohull.jobs order by position")
    assert [(row["queue"], row["priority"]) for row in rows] == [
        ("default", 4),
        ("urgent", 0),
        ("default", 4),
    ]
    assert (rows[2]["actor"], rows[2]["request_id"]) == ("user-9", "r-1")


async def test_arguments_that_nobody_can_read_hold_up_no_other(bench: Workbench) -> None:
    """PostgreSQL takes numbers as JSON that are none elsewhere."""
    await Ledger(bench.runtime.database).register(module.jobs)
    unreadable = """select monohull.enqueue('shop.count', '{"n": 1e5000}', priority => 9)"""
    async with bench.runtime.database.connection() as connection:
        job_id = await connection.fetchval(unreadable)
    await ask(bench, counting(1))
    async with bench.worker():
        await bench.all_done()
    assert numbers() == [1]
    async with bench.runtime.database.connection() as connection:
        row = await connection.fetchrow("select outcome, error from monohull.jobs where id = $1", job_id)
    assert row["outcome"] == "dead"
    assert "cannot be read" in row["error"]


async def test_the_cause_of_a_call(bench: Workbench) -> None:
    current_trace.set(new_trace("why"))
    (job_id,) = await ask(bench, counting(1))
    assert job_id is not None
    assert (await JobRuns(bench.runtime).search.one(job_id)).request_id == "why"


def later() -> datetime:
    return now() + timedelta(hours=1)
