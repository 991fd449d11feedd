"""What a lane does about dead workers and about a Redis that is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from saq.job import Status
from saq.utils import now as now_milliseconds

from monohull.kernel import lane as lanes
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.lane import Heartbeat, JobReturned, living_workers
from monohull.kernel.observation import DependencyBack, DependencyLost, Observation, Observer
from monohull.kernel.queues import Queues, new_message
from tests.integration.queues.test_jobs import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from saq.job import Job as Message

    from monohull.kernel.lane import Lane

SEEN: list[Observation] = []


@pytest.fixture
async def queues(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queues]:
    SEEN.clear()
    monkeypatch.setattr(lanes, "SUSPICION_SECONDS", 0.2)
    queues = Queues(redis_url, observer=Observer(SEEN.append))
    async with queues.running():
        yield queues


async def fetched(queues: Queues, *, worker: str | None) -> tuple[Lane, Message]:
    """Return a message that was fetched, and marked when a worker is named."""
    lane = queues.lane("default")
    await lane.enqueue(new_message(run, {"n": 1}, key="k", meta={}))
    message = await lane.dequeue()
    assert message is not None
    if worker is not None:
        message.worker_id = worker
        message.started = now_milliseconds()
        await message.update(status=Status.ACTIVE)
    return lane, message


@pytest.mark.parametrize("worker", ["dead", None])
async def test_a_lost_job_goes_back_when_it_was_seen_twice(
    queues: Queues, worker: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, message = await fetched(queues, worker=worker)
    moment = monotonic_seconds()
    monkeypatch.setattr(lanes, "monotonic_seconds", lambda: moment)
    assert await lane.sweep() == []
    moment += 0.15
    assert await lane.sweep() == []
    moment += 0.1
    assert await lane.sweep() == [message.id]
    again = await lane.dequeue()
    assert again is not None
    assert (again.key, again.meta, again.worker_id) == ("k", {"returns": 1}, None)
    assert [type(o) for o in SEEN] == [JobReturned]


async def test_a_job_that_changed_meanwhile_stays(queues: Queues) -> None:
    lane, message = await fetched(queues, worker="dead")
    assert await lane.sweep() == []
    await asyncio.sleep(0.25)
    await message.update(progress=0.5)
    assert await lane.sweep() == []


async def test_what_a_living_worker_does_is_left_alone(queues: Queues) -> None:
    lane, _ = await fetched(queues, worker="alive")
    beat = Heartbeat(
        queues.redis, "alive", {"job-1"}, queues=("default",), concurrency=1, cancel=lambda *_: None
    )
    async with beat.beating():
        assert await living_workers(queues.redis, {"alive", "dead"}) == {"alive": frozenset({"job-1"})}
        await lane.sweep()
        await asyncio.sleep(0.25)
        assert await lane.sweep() == []
    await lane.sweep()
    await asyncio.sleep(0.25)
    assert len(await lane.sweep()) == 1


async def test_two_sweepers_put_back_once(queues: Queues, redis_url: str) -> None:
    lane, _ = await fetched(queues, worker="dead")
    other = Queues(redis_url)
    async with other.running():
        for sweeper in (lane, other.lane("default")):
            await sweeper.sweep()
        await asyncio.sleep(0.25)
        swept = await asyncio.gather(lane.sweep(), other.lane("default").sweep())
    assert sum(map(len, swept)) == 1
    assert await lane.count("queued") == 1


async def test_a_job_without_a_message_is_swept_away(queues: Queues) -> None:
    lane, message = await fetched(queues, worker="dead")
    await queues.redis.delete(message.id)
    assert await lane.sweep() == []
    assert (await lane.count("active"), await lane.count("incomplete")) == (0, 0)


@pytest.mark.parametrize(("ttl", "is_kept"), [(60, True), (0, True), (-1, False)])
async def test_what_is_kept_of_a_finished_job(queues: Queues, ttl: int, is_kept: bool) -> None:
    lane, message = await fetched(queues, worker="alive")
    message.ttl = ttl
    await message.finish(Status.COMPLETE, result=1)
    assert (await lane.job("k") is not None) is is_kept
    assert await lane.count("active") == 0


async def test_saqs_own_view_of_workers(queues: Queues) -> None:
    lane = queues.lane("default")
    await lane.worker_info("w", queue_key=lane.name, ttl=1)
    assert list((await lane.info())["workers"]) == ["w"]


async def test_nothing_raises_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    monkeypatch.setattr(lanes, "FETCH_SECONDS", 0.05)
    monkeypatch.setattr(lanes, "PATIENCE_SECONDS", 0.1)
    queues = Queues("redis://127.0.0.1:1/0", observer=Observer(SEEN.append))
    async with queues.running():
        lane = queues.lane("default")
        assert await lane.dequeue() is None
        assert await lane.dequeue() is None
        assert await lane.sweep() == []
        assert await lane.schedule() == []
        assert await lane.jobs(["k"]) == []
        await lane.worker_info("w", queue_key=lane.name)
        message = new_message(run, {"n": 1}, key="k", meta={})
        message.queue = lane
        await message.update(status=Status.ACTIVE)
        await message.retry("why")
        await message.finish(Status.COMPLETE)
        stop = asyncio.Event()
        lane.stop_with(stop)
        assert await lane.dequeue() is None
        stop.set()
        assert await lane.dequeue() is None
        async with Heartbeat(
            queues.redis, "w", (), queues=(), concurrency=1, cancel=lambda *_: None
        ).beating():
            pass
    assert [type(o) for o in SEEN] == [DependencyLost]


async def test_an_outage_is_told_once_and_its_end_too(queues: Queues) -> None:
    lane = queues.lane("default")
    lane._note_lost(ConnectionError("gone"))
    lane._note_lost(ConnectionError("still gone"))
    await lane.enqueue(new_message(run, {"n": 1}, key="k", meta={}))
    assert await lane.dequeue() is not None
    assert [type(o) for o in SEEN] == [DependencyLost, DependencyBack]
