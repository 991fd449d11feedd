"""What else uses Redis, on a cluster of three nodes: limits, quotas, heartbeats, mails, health."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from modules.api_keys.dtos import Quota
from modules.api_keys.quotas import Quotas
from modules.auth.keys.presenters import Presenters
from modules.auth.lockout import Lockout
from modules.auth.messages.mailbox import Kept, Mailbox
from monohull.kernel.broker import Broker, Message
from monohull.kernel.clock import now
from monohull.kernel.diagnosis import redis as look_at_redis
from monohull.kernel.errors import RateLimited
from monohull.kernel.lane import Heartbeat, list_workers, living_workers
from monohull.kernel.queues import Queues
from monohull.kernel.ratelimit import Limit, RateLimits
from monohull.kernel.redis_connection import close_redis, get_each, open_redis, server_infos
from monohull.kernel.runtime_metrics import read_redis
from tests.application import running_app
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from monohull.kernel.home import Connections
    from tests.integration.redis_cluster.conftest import Cluster

LIMIT = Limit("callers", 10, 0.001)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url, name="clustered")
    yield client
    await close_redis(client)


async def test_limits_of_many_callers(client: Redis, redis_cluster: Cluster) -> None:
    limits = RateLimits(client)
    for caller in range(30):
        assert (await limits.take(LIMIT, str(caller))).remaining == 9
    left = await limits.settle(LIMIT, {str(caller): 4 for caller in range(30)})
    assert [int(tokens) for tokens in left.values()] == [5] * 30
    assert min(redis_cluster.numbers()) > 0, "all nodes have some of them"


async def test_wrong_passwords_are_counted(client: Redis) -> None:
    lockout = Lockout(client, b"secret", 2, counts="passwords")
    for account in ("a@example.com", "b@example.com", "c@example.com"):
        answers = [lockout.attempt(account, "203.0.113.7") for _ in range(5)]
        found = await asyncio.gather(*answers, return_exceptions=True)
        assert {type(each) for each in found} == {bool, RateLimited}


async def test_quotas_of_many_keys(client: Redis) -> None:
    quota = Quota(limit=100, period="day")
    first, second = Quotas(client), Quotas(client)
    names = [f"key-{number}" for number in range(8)]
    for quotas in (first, second):
        for name in names:
            (await quotas.of(name, quota)).take()
        await quotas.settle()
    assert [await first.used(name, quota) for name in names] == [2] * 8


async def test_keys_of_all_nodes_in_one_round_trip(client: Redis) -> None:
    keys = [f"key {number}" for number in range(20)]
    for key in keys[::2]:
        await client.set(key, key.upper())
    found = await get_each(client, keys)
    assert found[::2] == [key.upper().encode() for key in keys[::2]]
    assert found[1::2] == [None] * 10
    assert await get_each(client, []) == []
    assert await client.mget([]) == []


async def test_what_workers_say_of_themselves(client: Redis) -> None:
    names = [f"worker-{number}" for number in range(6)]
    beats = [
        Heartbeat(client, name, {"job"}, queues=("default",), concurrency=1, cancel=lambda *_: None)
        for name in names
    ]
    for beat in beats:
        await beat._beat()
    assert {worker["id"] for worker in await list_workers(client)} == set(names)
    assert set(await living_workers(client, {*names, "dead"})) == set(names)


async def test_queues_are_spread_over_nodes(redis_url: str, redis_cluster: Cluster) -> None:
    queues = Queues(redis_url)
    async with queues.running():
        for number in range(12):
            await queues.redis.rpush(queues.lane(f"queue{number}")._queued, "x")
    assert min(redis_cluster.numbers()) > 0


async def test_a_broker_is_the_first_to_use_its_client(redis_url: str) -> None:
    client = open_redis(redis_url)
    async with Broker(client).running() as broker, broker.subscribe("a") as subscription:
        other = open_redis(redis_url)
        await Broker(other).publish("a", b"x")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await anext(subscription) == Message("a", b"x")
        await close_redis(other)
    await close_redis(client)


async def test_mails_and_presenters(client: Redis) -> None:
    mailbox, presenters = Mailbox(client), Presenters(client)
    await mailbox.put(Kept(id="1", kind="mail", to="a@example.com", text="Welcome", sent_at=now()))
    assert [mail.text for mail in await mailbox.read("a@example.com")] == ["Welcome"]
    for kid in ("one", "two", "three"):
        presenters.note(kid, "somebody")
    await presenters.flush()
    for kid in ("one", "two", "three"):
        assert [name for name, _ in await presenters.of(kid)] == ["somebody"]


async def test_a_transaction_is_refused(client: Redis) -> None:
    with pytest.raises(NotImplementedError, match="write a script"):
        _ = client.pipeline(transaction=True)


async def test_every_primary_is_looked_at(client: Redis, connections: Connections) -> None:
    infos = await server_infos(client, "server")
    assert len({info["run_id"] for info in infos}) == 3
    assert len(list(await read_redis(client))) == 7
    async with running_app(connections) as served:
        found = await look_at_redis(served.runtime)
        assert found.state == "ok", found
        ready = await served.client.get("/health/ready")
        assert ready.status_code == 200, ready.text
