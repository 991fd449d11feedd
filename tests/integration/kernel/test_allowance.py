"""Counted in the process, agreed on in Redis: what two processes allow together, and without Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from monohull.kernel import clock
from monohull.kernel.allowance import Allowance
from monohull.kernel.errors import RateLimited
from monohull.kernel.observation import DependencyLost, Observation, Observer
from monohull.kernel.ratelimit import Limit, RateLimits
from monohull.kernel.redis_connection import close_redis, open_redis
from tests.patience import PATIENCE_SECONDS, PATIENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from monohull.kernel.embedded import EmbeddedRedis

LIMIT = Limit("reads", 10, 0.01, "local")


@pytest.fixture
async def client(running_redis: EmbeddedRedis) -> AsyncIterator[Redis]:
    redis = open_redis(running_redis.url, name="test", timeouts=PATIENT)
    await redis.flushall()
    yield redis
    await close_redis(redis)


def take(allowance: Allowance, caller: str, times: int) -> int:
    return sum(allowance.has(caller) for _ in range(times))


async def test_a_bucket_is_counted_without_asking_anybody(client: Redis) -> None:
    limits = RateLimits(client)
    allowance = Allowance(limits, LIMIT)
    assert take(allowance, "a", 15) == 10
    assert take(allowance, "b", 15) == 10
    assert await client.dbsize() == 0
    with pytest.raises(RateLimited) as refused:
        allowance.enforce("a")
    assert 90 <= int(refused.value.headers["Retry-After"]) <= 100
    assert limits.refused == {LIMIT.name: 1}


async def test_two_processes_agree(client: Redis) -> None:
    one, other = Allowance(RateLimits(client), LIMIT), Allowance(RateLimits(client), LIMIT)
    assert (take(one, "a", 4), take(other, "a", 3)) == (4, 3)
    await one.agree()
    await other.agree()
    assert take(other, "a", 10) == 3, "ten less what both took"
    await other.agree()
    assert take(one, "a", 1) == 1, "it has not heard of it yet"
    await one.agree()
    assert take(one, "a", 10) == 0
    assert take(one, "b", 10) == 10, "callers do not share"


async def test_what_was_taken_too_much_is_owed(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit("reads", 10, 0.01, "local")
    one, other = Allowance(RateLimits(client), limit), Allowance(RateLimits(client), limit)
    assert (take(one, "a", 10), take(other, "a", 10)) == (10, 10)
    await one.agree()
    await other.agree()
    now = clock.monotonic_seconds()
    monkeypatch.setattr("monohull.kernel.allowance.monotonic_seconds", lambda: now + 900)
    assert take(other, "a", 5) == 0, "ten owed, nine paid back"
    monkeypatch.setattr("monohull.kernel.allowance.monotonic_seconds", lambda: now + 1250)
    assert take(other, "a", 5) == 2


async def test_what_is_taken_while_they_agree_is_not_lost(client: Redis) -> None:
    limits = RateLimits(client)
    allowance = Allowance(limits, LIMIT)
    take(allowance, "a", 4)
    settle = limits.settle

    async def slow(limit: Limit, spent: dict[str, int]) -> dict[str, float]:
        left = await settle(limit, spent)
        assert take(allowance, "a", 3) == 3
        return left

    limits.settle = slow  # type: ignore[assignment, method-assign]
    await allowance.agree()
    limits.settle = settle  # type: ignore[method-assign]
    assert take(allowance, "a", 10) == 3
    await allowance.agree()
    assert (await limits.take(LIMIT, "a", cost=0)).remaining == 0


async def test_a_restarted_process_remembers(client: Redis) -> None:
    first = Allowance(RateLimits(client), LIMIT)
    async with first.agreeing():
        assert take(first, "a", 8) == 8
    second = Allowance(RateLimits(client), LIMIT)
    assert take(second, "a", 1) == 1
    await second.agree()
    assert take(second, "a", 10) == 1


async def test_the_number_of_buckets_is_bounded(client: Redis) -> None:
    allowance = Allowance(RateLimits(client), LIMIT, max_callers=3)
    for caller in "abcde":
        take(allowance, caller, 10)
    assert len(allowance) == 3
    assert take(allowance, "e", 1) == 0, "the latest are kept"


async def test_many_callers_are_told_in_parts(client: Redis) -> None:
    allowance = Allowance(RateLimits(client), LIMIT)
    for number in range(250):
        assert allowance.has(f"c{number}")
    await allowance.agree()
    assert await client.dbsize() == 250
    await allowance.agree()


async def test_without_redis_each_process_goes_on_alone() -> None:
    seen: list[Observation] = []
    redis = open_redis("redis://127.0.0.1:1/0", name="test")
    allowance = Allowance(RateLimits(redis, observer=Observer(seen.append)), LIMIT)
    assert take(allowance, "a", 4) == 4
    await allowance.agree()
    await allowance.agree()
    assert take(allowance, "a", 10) == 6
    assert [type(one) for one in seen] == [DependencyLost]
    await close_redis(redis)


async def test_it_stops_at_whatever_point_of_an_agreement(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Python 3.12 a cancellation in the very turn in which a command was sent is swallowed."""
    monkeypatch.setattr("monohull.kernel.allowance.INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr("monohull.kernel.tasks.INSIST_SECONDS", 0.01)
    allowance = Allowance(RateLimits(client), LIMIT)

    async def agree_for(turns: int) -> None:
        async with allowance.agreeing():
            for _ in range(turns):
                await asyncio.sleep(0)

    for turns in range(40):
        take(allowance, "alice", 1)
        _, hangs = await asyncio.wait({asyncio.create_task(agree_for(turns))}, timeout=PATIENCE_SECONDS)
        assert not hangs, f"after {turns} turns"
