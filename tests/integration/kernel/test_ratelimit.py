"""Token buckets in a real Redis: bursts, refills, several clients, outages."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from monohull.kernel import clock
from monohull.kernel.errors import RateLimited, RedisUnavailable
from monohull.kernel.observation import DependencyBack, DependencyLost, Observation, Observer
from monohull.kernel.ratelimit import Limit, RateLimits, headers
from monohull.kernel.redis_connection import close_redis, open_redis
from tests.patience import PATIENCE_SECONDS, PATIENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from monohull.kernel.embedded import EmbeddedRedis

SLOW = Limit("slow", 10, 0.01)
LOCAL = Limit("reads", 4, 0.01, "local")


@pytest.fixture
async def client(running_redis: EmbeddedRedis) -> AsyncIterator[Redis]:
    redis = open_redis(running_redis.url, name="test", timeouts=PATIENT)
    await redis.flushall()
    yield redis
    await close_redis(redis)


async def test_a_burst_takes_the_bucket_and_no_more(client: Redis) -> None:
    limits, began = RateLimits(client), time.monotonic()
    decisions = [await limits.take(SLOW, "a") for _ in range(12)]
    passed = int(time.monotonic() - began) + 1
    assert [d.allowed for d in decisions] == [True] * 10 + [False] * 2
    assert [d.remaining for d in decisions] == [*range(9, -1, -1), 0, 0]
    assert 100 - passed <= decisions[-1].retry_after_seconds <= 100
    assert 1000 - passed <= decisions[-1].reset_seconds <= 1000
    assert (await limits.take(SLOW, "b")).remaining == 9, "each key has a bucket of its own"


async def test_tokens_come_back_at_the_rate(client: Redis) -> None:
    limits, limit = RateLimits(client), Limit("fast", 5, 50)
    for _ in range(5):
        assert (await limits.take(limit, "a")).allowed
    await asyncio.sleep(0.05)
    later = await limits.take(limit, "a")
    assert later.allowed
    assert later.remaining < 5
    await asyncio.sleep(0.2)
    assert (await limits.take(limit, "a")).remaining == 4, "a bucket is never more than full"


async def test_a_request_may_cost_more(client: Redis) -> None:
    limits = RateLimits(client)
    assert (await limits.take(SLOW, "a", cost=7)).remaining == 3
    refused = await limits.take(SLOW, "a", cost=4)
    assert (refused.allowed, refused.remaining) == (False, 3), "a refusal takes nothing"
    assert (await limits.take(SLOW, "a", cost=3)).allowed
    look = await limits.take(SLOW, "a", cost=0)
    assert (look.allowed, look.remaining) == (True, 0), "0 looks and takes nothing"
    for cost in (-1, 11):
        with pytest.raises(ValueError, match="cannot be taken"):
            await limits.take(SLOW, "a", cost=cost)


async def test_two_processes_share_a_bucket_exactly(client: Redis, running_redis: EmbeddedRedis) -> None:
    other = open_redis(running_redis.url, name="other", timeouts=PATIENT)
    limit = Limit("shared", 50, 0.001)
    one, two = (RateLimits(redis, timeout_seconds=30) for redis in (client, other))
    decisions = []
    for _ in range(10):  # twelve at a time: a busy machine has no second for a hundred connections
        decisions += await asyncio.gather(*(each.take(limit, "k") for each in (one, two) * 6))
    await close_redis(other)
    assert sum(d.allowed for d in decisions) == 50


async def test_the_hosts_clocks_do_not_matter(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RateLimits(client)
    await limits.take(SLOW, "a", cost=10)
    for shift in (-86_400, 86_400):
        monkeypatch.setattr(clock, "unix_seconds", lambda shift=shift: int(time.time()) + shift)
        monkeypatch.setattr(time, "time", lambda shift=shift: shift)
        assert not (await limits.take(SLOW, "a")).allowed


async def test_a_server_clock_that_went_back_locks_nobody_out(client: Redis) -> None:
    limits, limit = RateLimits(client), Limit("back", 10, 100)
    await limits.take(limit, "a", cost=10)
    (key,) = await client.keys("*")
    in_an_hour = int((time.time() + 3600) * 1_000_000)
    await client.set(key, f"{in_an_hour}:0")
    assert not (await limits.take(limit, "a")).allowed, "the time that did not pass gives nothing"
    await asyncio.sleep(0.05)
    assert (await limits.take(limit, "a")).allowed


async def test_redis_sees_no_key_and_forgets_full_buckets(client: Redis) -> None:
    limits = RateLimits(client, secret=b"pepper")
    limit = Limit("auth.token", 10, 0.01)
    await limits.take(limit, "192.0.2.7", cost=4)
    (key,) = await client.keys("*")
    assert str(key).startswith("b'mh:limit:auth.token:")
    assert "192" not in str(key)
    assert 350_000 < await client.pttl(key) <= 401_000
    await RateLimits(client, secret=b"another").take(limit, "192.0.2.7")
    assert len(await client.keys("*")) == 2


async def test_a_flushed_script_is_loaded_again(client: Redis) -> None:
    limits = RateLimits(client)
    await limits.take(SLOW, "a")
    await client.script_flush()
    assert (await limits.take(SLOW, "a")).remaining == 8


async def test_enforce_refuses_with_all_headers(client: Redis) -> None:
    limits = RateLimits(client)
    began = time.monotonic()
    passed = await limits.enforce(SLOW, "a", cost=10)
    assert headers(passed)["RateLimit"] == '"slow";r=0;t=1000'
    with pytest.raises(RateLimited, match="10 in 1000 s") as caught:
        await limits.enforce(SLOW, "a")
    assert caught.value.headers["RateLimit-Policy"] == '"slow";q=10;w=1000'
    assert 99 - (time.monotonic() - began) <= int(caught.value.headers["Retry-After"]) <= 100
    assert limits.refused == {"slow": 1}


class TestWithoutRedis:
    async def test_down_and_back(self, client: Redis, running_redis: EmbeddedRedis) -> None:
        seen: list[Observation] = []
        limits = RateLimits(client, observer=Observer(seen.append))
        assert (await limits.take(LOCAL, "a")).remaining == 3
        running_redis.stop()
        with pytest.raises(RedisUnavailable) as caught:
            await limits.take(SLOW, "a")
        assert caught.value.status == 503
        assert caught.value.headers["Retry-After"] == "1"
        local = [await limits.take(LOCAL, "a") for _ in range(5)]
        assert [d.allowed for d in local] == [True] * 4 + [False]
        running_redis.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(seen) < 2:
                await asyncio.sleep(0.05)
                await limits.take(LOCAL, "b")
        lost, back = seen
        assert isinstance(lost, DependencyLost)
        assert isinstance(back, DependencyBack)
        assert back.seconds > 0
        assert (await limits.take(SLOW, "a")).allowed

    async def test_a_silent_server_costs_one_time_out_and_not_one_a_request(self) -> None:
        accepted: list[asyncio.StreamWriter] = []

        async def never_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.append(writer)

        server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        redis = open_redis(f"redis://127.0.0.1:{port}", name="test")
        limits = RateLimits(redis, timeout_seconds=0.2)
        started = time.monotonic()
        for _ in range(100):
            await limits.take(Limit("r", 1000, 1, "local"), "a")
            with pytest.raises(RedisUnavailable):
                await limits.take(SLOW, "a")
        assert time.monotonic() - started < 30, "200 requests at 0.2 s would be 40"
        assert len(accepted) < 20
        await close_redis(redis)
        for writer in accepted:
            writer.close()
        server.close()
        await server.wait_closed()

    async def test_a_redis_that_refuses_the_command_counts_as_away(self, client: Redis) -> None:
        limits = RateLimits(client)
        await client.config_set("maxmemory", "1")
        try:
            with pytest.raises(RedisUnavailable):
                await limits.take(SLOW, "a")
        finally:
            await client.config_set("maxmemory", "0")

    async def test_a_caller_that_goes_away_leaves_the_try_to_the_next(
        self, client: Redis, running_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits = RateLimits(client)
        running_redis.stop()
        with pytest.raises(RedisUnavailable):
            await limits.take(SLOW, "a")
        running_redis.start()
        monkeypatch.setattr(clock, "monotonic_seconds", lambda: time.monotonic() + 1)
        going = asyncio.create_task(limits.take(SLOW, "a"))
        await asyncio.sleep(0)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        assert (await limits.take(SLOW, "a")).allowed
