"""Jobs from the promise to the outcome, on a real worker."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from monohull.kernel.attempts import JobFailed, JobStarted
from monohull.kernel.errors import RedisUnavailable
from monohull.kernel.housekeeping import purge
from monohull.kernel.module import Module
from monohull.kernel.origin import current_actor
from monohull.kernel.outbox import cause, outbox_lag
from monohull.kernel.queues import Backoff, Cron, GiveUp, Queues, enqueue, job
from monohull.kernel.rows import watch
from monohull.kernel.tasks import beside
from monohull.kernel.trace import current_trace, new_trace
from monohull.kernel.vigil import LOCK
from tests.patience import eventually
from tests.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

VIGIL = (
    "select from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and granted "
    f"and (classid::bigint << 32 | objid::bigint) = {LOCK} "
    "and database = (select oid from pg_database where datname = current_database())"
)
QUICK = Backoff(base_seconds=0.05, max_seconds=0.05)

RAN: list[Any] = []
CAUSES: list[dict[str, str | None]] = []


@job("test.run", max_attempts=3)
async def run(_: Any, *, n: int) -> int:
    RAN.append(n)
    CAUSES.append(cause())
    return n


@job("test.fail", max_attempts=3, backoff=QUICK)
async def fail(_: Any, *, n: int) -> None:
    RAN.append(n)
    raise ValueError(f"no {n}\x00")


@job("test.fail_twice", max_attempts=5, backoff=QUICK)
async def fail_twice(_: Any) -> None:
    RAN.append("again")
    if len(RAN) < 3:
        raise ValueError("not yet")


@job("test.give_up", max_attempts=5, backoff=QUICK)
async def give_up(_: Any) -> None:
    raise GiveUp("there is no such letter")


@job("test.sleep", max_attempts=2, timeout_seconds=0.2, backoff=QUICK)
async def oversleep(_: Any) -> None:
    await asyncio.sleep(30)


@job("test.linger", timeout_seconds=60)
async def linger(_: Any, *, seconds: float) -> None:
    RAN.append("begun")
    await asyncio.sleep(seconds)
    RAN.append("ended")


@job("test.outlast", timeout_seconds=3600)
async def outlast(_: Any) -> None:
    RAN.append("begun")
    await asyncio.sleep(3000 if RAN == ["begun"] else 0)
    RAN.append("ended")


@job("test.elsewhere", queue="other")
async def elsewhere(_: Any) -> None:
    RAN.append("elsewhere")


MODULE = Module(name="test", jobs=(run, fail, fail_twice, give_up, oversleep, linger, outlast, elsewhere))


@pytest.fixture
async def bench(connections: Connections) -> AsyncIterator[Workbench]:
    RAN.clear()
    CAUSES.clear()
    bench = Workbench(MODULE, connections, drain_seconds="60")
    async with bench.runtime.running():
        yield bench


async def test_a_job_runs_after_the_commit(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, run, n=1)
            await asyncio.sleep(1.5)
            assert RAN == []
        await bench.all_done()
    assert RAN == [1]


async def test_nothing_runs_for_what_was_rolled_back(bench: Workbench) -> None:
    async with bench.worker():
        with suppress(ZeroDivisionError):
            async with bench.runtime.database.unit_of_work() as session:
                await enqueue(session, run, n=1)
                raise ZeroDivisionError
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, run, n=2)
        await bench.all_done()
    assert RAN == [2]


async def test_the_cause_travels_along(bench: Workbench) -> None:
    trace = new_trace("asked-for-it")
    current_trace.set(trace)
    current_actor.set("user-7")
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, run, n=1)
        await bench.runtime.queues.enqueue_now(run, n=2)
        await bench.until(lambda: len(RAN) == 2)
    for found in CAUSES:
        assert found["request_id"] == "asked-for-it"
        assert found["actor"] == "user-7"
        assert (found["traceparent"] or "").split("-")[1] == trace.trace_id


async def test_a_failing_job_ends_as_a_dead_letter(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            job_id = await enqueue(session, fail, n=1)
        (row,) = await bench.all_done()
    assert RAN == [1, 1, 1]
    assert (row["attempts"], row["outcome"]) == (3, "dead")
    (letter,) = await bench.rows("select * from monohull.dead_letters")
    assert letter["id"] == job_id
    assert (letter["name"], letter["attempts"], letter["arguments"]) == ("test.fail", 3, '{"n":1}')
    assert letter["error"] == "ValueError: no 1\N{REPLACEMENT CHARACTER}"
    failures = [o for o in bench.seen if isinstance(o, JobFailed)]
    assert [o.attempt for o in failures] == [1, 2, 3]
    assert [o.next_seconds is None for o in failures] == [False, False, True]
    assert "test_jobs.py" in (failures[0].stack or "")


async def test_a_job_may_succeed_late(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, fail_twice)
        (row,) = await bench.all_done()
    assert (row["attempts"], row["outcome"], row["error"]) == (3, "succeeded", None)
    assert await bench.rows("select * from monohull.dead_letters") == []


async def test_giving_up_needs_no_further_attempt(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, give_up)
        (row,) = await bench.all_done()
    assert (row["attempts"], row["outcome"]) == (1, "dead")
    assert row["error"] == "GiveUp: there is no such letter"


async def test_a_job_has_a_time_limit(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, oversleep)
        (row,) = await bench.all_done()
    assert (row["attempts"], row["outcome"]) == (2, "dead")
    assert row["error"] == "TimeoutError: no result within 0.2 s"


async def test_a_key_is_one_job_until_it_is_done(bench: Workbench) -> None:
    async with bench.runtime.database.unit_of_work() as session:
        assert await enqueue(session, run, key="k", n=1) is not None
        assert await enqueue(session, run, key="k", n=2) is None
        assert await enqueue(session, run, key="other", n=3) is not None
        assert await enqueue(session, linger, key="k", seconds=0) is not None
    async with bench.worker():
        await bench.all_done()
        async with bench.runtime.database.unit_of_work() as session:
            assert await enqueue(session, run, key="k", n=4) is not None
        await bench.all_done()
    assert sorted(n for n in RAN if isinstance(n, int)) == [1, 3, 4]


async def test_a_delay_is_kept(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, run, delay_seconds=600, n=1)
        await asyncio.sleep(1)
        assert RAN == []
        assert (await outbox_lag(bench.runtime.database)).jobs == 0
        sooner = (
            "update monohull.jobs set due_at = due_at - interval '599 s' where name = 'test.run' returning 1"
        )
        assert len(await bench.rows(sooner)) == 1
        await bench.rows("notify monohull_outbox")
        await bench.all_done()
    assert RAN == [1]


async def test_every_queue_is_served(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, elsewhere)
            await enqueue(session, run, n=1)
        await bench.all_done()
    assert sorted(map(str, RAN)) == ["1", "elsewhere"]


async def test_a_worker_may_serve_one_queue_alone(connections: Connections, bench: Workbench) -> None:
    choosy = Workbench(MODULE, connections, worker_queues="other")
    async with choosy.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, elsewhere)
            await enqueue(session, run, n=1)
        await bench.until(lambda: RAN == ["elsewhere"])
        await eventually(bench.runtime.queues.depth, lambda depth: depth == 1.0)
        await asyncio.sleep(1)
        assert await bench.runtime.queues.depth() == 1.0
    assert RAN == ["elsewhere"]


async def test_workers_side_by_side_run_each_job_once(bench: Workbench) -> None:
    async with bench.worker(), bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            for n in range(100):
                await enqueue(session, run, n=n)
        await bench.all_done()
        await eventually(bench.runtime.queues.workers, lambda found: len(found) == 2)
    assert sorted(RAN) == list(range(100))
    assert await bench.runtime.queues.workers() == []


async def test_a_stop_waits_for_what_runs(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, linger, seconds=1.5)
        await bench.until(lambda: RAN == ["begun"])
    assert RAN == ["begun", "ended"]
    (row,) = await bench.all_done()
    assert (row["attempts"], row["outcome"]) == (1, "succeeded")


async def test_what_outlasts_the_drain_goes_back_and_counts_no_attempt(
    connections: Connections, bench: Workbench
) -> None:
    hasty = Workbench(MODULE, connections, drain_seconds="1")
    async with hasty.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, outlast)
        await bench.until(lambda: RAN == ["begun"])
    assert RAN == ["begun"]
    async with bench.worker():
        (row,) = await bench.all_done()
    assert RAN == ["begun", "begun", "ended"]
    assert (row["attempts"], row["outcome"]) == (1, "succeeded")


async def test_jobs_go_out_while_the_relay_keeps_a_vigil(bench: Workbench) -> None:
    """It looks for rows alone then, and at jobs when it is notified, or one may have become due."""
    async with bench.runtime.database.unit_of_work() as session:
        await session.execute(text("create table public.busy (n int)"))
        await watch(session, watcher="test:1", relation=("public", "busy"))

    async def write() -> None:
        while True:
            await bench.rows("insert into public.busy values (1) returning 1")
            await asyncio.sleep(0.01)

    async with bench.worker():
        async with beside(write(), name="writer"):
            await bench.until_rows(VIGIL, bool)
            async with bench.runtime.database.unit_of_work() as session:
                await enqueue(session, run, n=1)
                await enqueue(session, run, delay_seconds=1.0, n=2)
                await enqueue(session, fail_twice)
            await bench.until(lambda: sorted(map(str, RAN)) == ["1", "2", "again", "again"])
            assert await bench.rows(VIGIL)
        await bench.all_done()


async def test_straight_into_redis(bench: Workbench) -> None:
    async with bench.worker():
        await bench.runtime.queues.enqueue_now(run, n=1)
        await bench.until(lambda: RAN == [1])
        await bench.runtime.queues.enqueue_now(run, delay_seconds=1, n=2)
        await bench.until(lambda: RAN == [1, 2])
    assert await bench.rows("select * from monohull.jobs") == []


async def test_straight_into_redis_fails_into_the_dead_letters(bench: Workbench) -> None:
    async with bench.worker():
        await bench.runtime.queues.enqueue_now(fail, n=7)
        letters = await bench.until_rows("select * from monohull.dead_letters", lambda rows: len(rows) == 1)
    assert RAN == [7, 7, 7]
    assert (letters[0]["attempts"], letters[0]["arguments"]) == (3, '{"n":7}')


async def test_without_redis_there_is_no_straight_way() -> None:
    queues = Queues("redis://127.0.0.1:1/0")
    async with queues.running():
        with pytest.raises(RedisUnavailable):
            await queues.enqueue_now(run, n=1)
        with pytest.raises(RedisUnavailable):
            await queues.workers()
        assert await queues.depth() is None


async def test_a_schedule_runs_by_itself(connections: Connections) -> None:
    RAN.clear()
    every_minute = Cron(job=run, schedule="* * * * *", arguments={"n": 1}, name="test.minutely")
    bench = Workbench(Module(name="test", jobs=(run,), cron=(every_minute,)), connections)
    async with bench.worker():
        # the last minute counts, so that a fail-over loses no tick
        await bench.until(lambda: 1 in RAN)


async def test_an_unknown_job_waits_for_a_worker_that_knows_it(
    connections: Connections, bench: Workbench
) -> None:
    async with bench.runtime.database.unit_of_work() as session:
        await enqueue(session, run, n=1)
    old = Workbench(Module(name="test"), connections)
    async with old.worker():
        await asyncio.sleep(1.5)
    async with bench.worker():
        await bench.all_done()
    assert RAN == [1]


async def test_started_jobs_are_told_with_their_attempt(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, fail_twice)
        await bench.all_done()
    assert [o.attempt for o in bench.seen if isinstance(o, JobStarted)] == [1, 2, 3]
    attempts = bench.names()
    assert attempts.count("job.finished") == 1


async def test_what_is_long_done_is_forgotten(bench: Workbench) -> None:
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await enqueue(session, run, n=1)
            await enqueue(session, give_up)
        await bench.all_done()
    await purge(bench.runtime)
    assert len(await bench.rows("select from monohull.jobs")) == 2
    await bench.rows(
        "update monohull.jobs set done_at = now() - interval '8 days' where name = 'test.run' returning 1"
    )
    await bench.rows("update monohull.dead_letters set died_at = now() - interval '91 days' returning 1")
    await purge(bench.runtime)
    assert [row["name"] for row in await bench.rows("select name from monohull.jobs")] == ["test.give_up"]
    assert await bench.rows("select from monohull.dead_letters") == []
