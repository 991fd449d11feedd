"""Whatever is killed or emptied, each job that was promised ends in one outcome, and is not forgotten."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.crypto import derive_password
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.dispatch import dispatch_jobs, duties_of, relay_events
from monohull.kernel.embedded import EmbeddedPostgres, new_password
from monohull.kernel.home import Connections
from monohull.kernel.outbox import publish
from monohull.kernel.queues import enqueue
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET
from tests.crash_jobs.conftest import Fleet
from tests.crash_jobs.module import MARKS, Happened, die, module, work
from tests.workbench import Workbench

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.embedded import EmbeddedRedis

pytestmark = [pytest.mark.crash, pytest.mark.slow]


class RelayKilledError(Exception):
    """Stands for the moment in which the relay dies."""


async def promise(bench: Workbench, numbers: range, *, seconds: float = 0.0) -> None:
    async with bench.runtime.database.unit_of_work() as session:
        for n in numbers:
            await enqueue(session, work, n=n, seconds=seconds)


async def ended(bench: Workbench) -> Counter[str]:
    rows = await bench.rows("select subject from public.marks where what = 'ended'")
    return Counter(row["subject"] for row in rows)


async def marks(bench: Workbench, what: str, *, at_least: int) -> list[Any]:
    return await bench.until_rows(
        f"select * from public.marks where what = '{what}'", lambda rows: len(rows) >= at_least
    )


def everything(numbers: range) -> set[str]:
    return {str(n) for n in numbers}


async def test_a_worker_killed_in_a_job(bench: Workbench, fleet: Fleet) -> None:
    """Worker got the job, before its result was stored."""
    victim = fleet.start()
    await promise(bench, range(1), seconds=2)
    await marks(bench, "begun", at_least=1)
    fleet.start()
    await bench.until_rows("select 1 from pg_stat_activity where application_name = 'monohull-worker'", any)
    await asyncio.sleep(1)
    fleet.kill(victim)
    killed_at = monotonic_seconds()
    await marks(bench, "begun", at_least=2)
    assert monotonic_seconds() - killed_at < 30, "before its time-out"
    (row,) = await bench.all_done()
    assert (row["outcome"], row["attempts"]) == ("succeeded", 2)
    assert await ended(bench) == {"0": 1}
    assert fleet.stop() == [0]


async def test_the_only_worker_killed_and_started_again(bench: Workbench, fleet: Fleet) -> None:
    victim = fleet.start(worker_concurrency="5")
    await promise(bench, range(20), seconds=1)
    await marks(bench, "begun", at_least=5)
    fleet.kill(victim)
    fleet.start(worker_concurrency="20")
    rows = await bench.all_done()
    assert {row["outcome"] for row in rows} == {"succeeded"}
    assert await ended(bench) == Counter(everything(range(20)))


async def test_a_job_that_kills_its_worker_is_given_up(bench: Workbench, fleet: Fleet) -> None:
    async with bench.runtime.database.unit_of_work() as session:
        await enqueue(session, die)
    for _ in range(2):
        process = fleet.start()
        await asyncio.to_thread(process.wait)
        assert process.returncode == -signal.SIGKILL
    fleet.start()
    (row,) = await bench.all_done()
    assert (row["outcome"], row["attempts"]) == ("dead", 3)
    assert "lost with the worker" in row["error"]
    assert len(await bench.rows("select from public.marks")) == 2


async def test_a_relay_killed_after_enqueuing(bench: Workbench) -> None:
    """After enqueue, before the position is recorded: the same message comes twice and begins once."""
    await promise(bench, range(10))
    duties = duties_of([module], bench.runtime.events)
    async with bench.runtime.database.connection() as connection:
        with suppress(RelayKilledError):
            async with connection.transaction():
                assert (await dispatch_jobs(connection, bench.runtime.queues, duties.jobs)).sent == 10
                raise RelayKilledError
    assert await bench.runtime.queues.depth() == 10.0
    async with bench.worker():
        await bench.all_done()
        # as if another relay had read the rows before they were marked
        await bench.rows("update monohull.jobs set done_at = done_at returning 1")
    assert await ended(bench) == Counter(everything(range(10)))


async def test_two_relays_believe_they_lead(bench: Workbench) -> None:
    duties = duties_of([module], bench.runtime.events)
    await promise(bench, range(40))
    async with bench.runtime.database.unit_of_work() as session:
        event_ids = {await publish(session, Happened(n=n)) for n in range(20)}

    async def lead() -> None:
        async with bench.runtime.database.connection() as connection:
            await relay_events(connection, duties.events)
            await dispatch_jobs(connection, bench.runtime.queues, duties.jobs)

    async with bench.worker():
        await asyncio.gather(lead(), lead(), lead())
        await bench.until_rows("select from monohull.outbox where relayed_at is null", lambda rows: not rows)
        await bench.all_done()
    assert await ended(bench) == Counter(everything(range(40)))
    heard = Counter(UUID(row["subject"]) for row in await marks(bench, "heard", at_least=20))
    assert heard == Counter(event_ids)


async def test_redis_is_emptied_before_anything_ran(bench: Workbench, fleet: Fleet) -> None:
    # Redis holds twice what the workers take at a time: here that is more than there are
    relay_only = fleet.start(worker_queues="nothing_comes_here", worker_concurrency="50")
    await promise(bench, range(50))
    await bench.until_rows("select from monohull.jobs where dispatched_at is null", lambda rows: not rows)
    await bench.runtime.queues.redis.flushall()
    assert await bench.runtime.queues.depth() == 0.0
    fleet.kill(relay_only)
    fleet.start()
    rows = await bench.all_done()
    assert {row["attempts"] for row in rows} == {1}
    assert await ended(bench) == Counter(everything(range(50)))


async def test_redis_is_emptied_while_jobs_run(bench: Workbench, fleet: Fleet) -> None:
    fleet.start(worker_concurrency="3")
    await promise(bench, range(30), seconds=0.5)
    for at_least in (3, 12, 20):
        await marks(bench, "begun", at_least=at_least)
        await bench.runtime.queues.redis.flushall()
    rows = await bench.all_done()
    assert {row["outcome"] for row in rows} == {"succeeded"}
    # what was running when Redis forgot it went on, and was not begun a second time
    assert await ended(bench) == Counter(everything(range(30)))
    assert {row["attempts"] for row in rows} == {1}


async def test_redis_is_killed_and_comes_back_empty(
    bench: Workbench, fleet: Fleet, redis: EmbeddedRedis
) -> None:
    fleet.start(worker_concurrency="3")
    await promise(bench, range(12), seconds=0.5)
    await marks(bench, "begun", at_least=4)
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGKILL)
    await promise(bench, range(12, 20))
    await asyncio.sleep(2)
    redis.start()
    await bench.all_done()
    assert set(await ended(bench)) == everything(range(20))
    assert fleet.stop() == [0]


async def test_postgresql_is_killed_and_comes_back(redis: EmbeddedRedis, tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres", password=new_password())
    postgres.start()
    fleet: Fleet | None = None
    try:
        where = Connections(Secret(postgres.url), Secret(postgres.url), Secret(redis.url))
        fleet = Fleet(where, tmp_path)
        bench = Workbench(module, where)
        async with bench.runtime.running():
            await upgrade(
                bench.runtime.database,
                login=Login(derive_password(JWT_SECRET, "authenticator"), is_reset=True),
            )
            await bench.rows(MARKS)
            fleet.start(worker_concurrency="3")
            await promise(bench, range(12), seconds=0.5)
            await marks(bench, "begun", at_least=4)
            assert postgres.pid is not None
            os.kill(postgres.pid, signal.SIGKILL)
            await asyncio.sleep(2)
            postgres.start()
            await promise(bench, range(12, 20))
            rows = await bench.all_done()
            assert {row["outcome"] for row in rows} == {"succeeded"}
            assert set(await ended(bench)) == everything(range(20))
            assert fleet.stop() == [0]
    finally:
        if fleet is not None:
            fleet.end()
        postgres.stop()


async def test_everything_is_killed_at_random(bench: Workbench, fleet: Fleet) -> None:
    dice = random.Random(4)
    event_ids: set[UUID] = set()
    for _ in range(2):
        fleet.start(worker_concurrency="5")
    for step in range(12):
        await promise(bench, range(step * 20, step * 20 + 20), seconds=0.1)
        async with bench.runtime.database.unit_of_work() as session:
            event_ids |= {await publish(session, Happened(n=n)) for n in range(10)}
        with suppress(RelayKilledError):
            async with bench.runtime.database.unit_of_work() as session:
                await enqueue(session, work, n=10_000)
                await publish(session, Happened(n=10_000))
                raise RelayKilledError
        await asyncio.sleep(dice.uniform(0.2, 1.2))
        if step % 4 == 3:
            await bench.runtime.queues.redis.flushall()
        if step % 3 == 2:
            fleet.kill(dice.choice(fleet.running))
            fleet.start(worker_concurrency="5")
    await bench.until_rows("select from monohull.outbox where relayed_at is null", lambda rows: not rows)
    rows = await bench.all_done()
    assert Counter(row["outcome"] for row in rows) == {"succeeded": len(event_ids) + 240}
    assert set(await ended(bench)) == everything(range(240))
    heard = {
        UUID(row["subject"]) for row in await bench.rows("select * from public.marks where what = 'heard'")
    }
    assert heard == event_ids
