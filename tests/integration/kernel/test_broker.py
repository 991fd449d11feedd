"""Fan-out over a real Redis: delivery, patterns, slow readers, reconnects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.broker import Broker, Gap, Message, Notice, SubscriberTooSlow, Subscription
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import RedisUnavailable
from monohull.kernel.observation import DependencyBack, DependencyLost, Observation, Observer
from monohull.kernel.redis_connection import RedisTimeouts, close_redis, open_redis
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from monohull.kernel.embedded import EmbeddedRedis


@pytest.fixture
async def client(running_redis: EmbeddedRedis) -> AsyncIterator[Redis]:
    patient = RedisTimeouts(connect=60.0, read=60.0, pool=60.0)  # two hundred connect at once
    redis = open_redis(running_redis.url, name="test", timeouts=patient)
    yield redis
    await close_redis(redis)


@pytest.fixture
def seen() -> list[Observation]:
    return []


@pytest.fixture
async def broker(client: Redis, seen: list[Observation]) -> AsyncIterator[Broker]:
    async with Broker(client, observer=Observer(seen.append)).running() as running:
        yield running


async def following(subscription: Subscription) -> Notice:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(subscription)


async def test_what_is_published_inside_the_block_arrives_in_order(broker: Broker) -> None:
    async with broker.subscribe("orders") as orders:
        for number in range(100):
            assert await broker.publish("orders", b"%d" % number) == 1
        received = [await following(orders) for _ in range(100)]
    assert received == [Message("orders", b"%d" % number) for number in range(100)]
    assert await broker.publish("orders", b"nobody") == 0


async def test_any_bytes_and_any_name(broker: Broker) -> None:
    async with broker.subscribe("räume:1 [x]*") as subscription:
        await broker.publish("räume:1 [x]*", bytes(range(256)))
        await broker.publish("räume:1 x", b"not for us")
        await broker.publish("räume:1 [x]*", b"")
        assert await following(subscription) == Message("räume:1 [x]*", bytes(range(256)))
        assert await following(subscription) == Message("räume:1 [x]*", b"")


async def test_a_pattern_hears_all_that_match(broker: Broker) -> None:
    async with broker.subscribe("room:*", is_pattern=True) as rooms, broker.subscribe("room:1") as one:
        await broker.publish("lobby", b"-")
        await broker.publish("room:1", b"a")
        await broker.publish("room:2", b"b")
        assert await following(rooms) == Message("room:1", b"a")
        assert await following(rooms) == Message("room:2", b"b")
        assert await following(one) == Message("room:1", b"a")
        assert len(one) == 0


async def test_processes_hear_each_other_over_one_connection_each(
    broker: Broker, client: Redis, running_redis: EmbeddedRedis
) -> None:
    elsewhere = open_redis(running_redis.url, name="elsewhere")
    async with (
        Broker(elsewhere).running() as other,
        broker.subscribe("a") as one,
        broker.subscribe("a") as two,
        broker.subscribe("b") as three,
    ):
        assert await other.publish("a", b"x") == 1, "two subscribers, one connection"
        await other.publish("b", b"y")
        assert await following(one) == await following(two) == Message("a", b"x")
        assert await following(three) == Message("b", b"y")
        listening = [c for c in await client.client_list() if c["name"] == "test" and int(c["sub"])]
        assert len(listening) == 1
    await close_redis(elsewhere)


async def test_prefixes_keep_products_apart(broker: Broker, client: Redis) -> None:
    other = Broker(client, prefix="other:")
    async with broker.subscribe("a") as subscription, broker.subscribe("*", is_pattern=True) as everything:
        assert await other.publish("a", b"theirs") == 0
        await broker.publish("a", b"ours")
        assert await following(subscription) == Message("a", b"ours")
        assert await following(everything) == Message("a", b"ours")
    await other.close()


async def test_leaving_and_coming_back_at_once(broker: Broker) -> None:
    for number in range(50):
        async with broker.subscribe("busy") as subscription:
            await broker.publish("busy", b"%d" % number)
            assert await following(subscription) == Message("busy", b"%d" % number)


async def test_many_come_and_go_together(broker: Broker) -> None:
    async def visit(number: int) -> Notice:
        async with broker.subscribe(f"room:{number % 7}", timeout_seconds=PATIENCE_SECONDS) as subscription:
            await broker.publish(f"room:{number % 7}", b"x")
            return await following(subscription)

    received = await asyncio.gather(*(visit(number) for number in range(200)))
    assert all(isinstance(notice, Message) for notice in received)


async def test_a_slow_subscriber_is_closed_and_the_others_are_not(broker: Broker) -> None:
    async with broker.subscribe("a", queue_size=10) as slow, broker.subscribe("a") as quick:
        for number in range(11):
            await broker.publish("a", b"%d" % number)
        assert [await following(quick) for _ in range(11)][-1] == Message("a", b"10")
        with pytest.raises(SubscriberTooSlow, match="more than 10 messages"):
            await following(slow)
        assert len(slow) == 0
        await broker.publish("a", b"later")
        assert await following(quick) == Message("a", b"later")


async def test_closing_ends_every_iteration(client: Redis) -> None:
    broker = Broker(client)

    received: list[Notice] = []

    async def read() -> None:
        async with broker.subscribe("a") as subscription:
            listening.set()
            async for notice in subscription:
                received.append(notice)  # noqa: PERF401 it is looked at meanwhile

    listening = asyncio.Event()
    reading = asyncio.create_task(read())
    await listening.wait()
    await broker.publish("a", b"last")
    await eventually(lambda: received)
    await broker.close()
    await asyncio.wait_for(reading, PATIENCE_SECONDS)
    assert received == [Message("a", b"last")]
    async with broker.subscribe("a") as again:
        await broker.publish("a", b"open again")
        assert await following(again) == Message("a", b"open again")
    await broker.close()


async def test_a_restart_of_redis_is_a_gap_and_no_end(
    broker: Broker, running_redis: EmbeddedRedis, seen: list[Observation]
) -> None:
    async with broker.subscribe("a") as one, broker.subscribe("b*", is_pattern=True) as two:
        killed = monotonic_seconds()
        running_redis.kill()
        await asyncio.sleep(0.1)
        with pytest.raises(RedisUnavailable):
            await broker.publish("a", b"lost")
        running_redis.start()
        for subscription in (one, two):
            notice = await following(subscription)
            assert isinstance(notice, Gap)
            assert 0 < notice.seconds <= monotonic_seconds() - killed
        async with broker.subscribe("c") as new:
            for channel, subscription in (("a", one), ("b1", two), ("c", new)):
                await broker.publish(channel, b"after")
                assert await following(subscription) == Message(channel, b"after"), "and no second gap"
    assert [type(observation) for observation in seen] == [DependencyLost, DependencyBack]


async def test_a_connection_killed_by_somebody_else_is_a_gap(broker: Broker, client: Redis) -> None:
    async with broker.subscribe("a") as subscription:
        for _ in range(3):
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
            assert isinstance(await following(subscription), Gap)
            await broker.publish("a", b"x")
            assert await following(subscription) == Message("a", b"x")


async def test_a_join_over_a_dead_connection_still_arrives(
    broker: Broker, client: Redis, seen: list[Observation]
) -> None:
    async with broker.subscribe("a") as old:
        for number in range(5):
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
            async with broker.subscribe(f"new:{number}") as new:
                await broker.publish(f"new:{number}", b"x")
                assert await following(new) == Message(f"new:{number}", b"x")
            assert isinstance(await following(old), Gap)
    assert len(seen) == 10


async def test_subscribing_while_redis_is_away(client: Redis, running_redis: EmbeddedRedis) -> None:
    running_redis.stop()
    async with Broker(client).running() as broker:
        with pytest.raises(RedisUnavailable, match="did not confirm"):
            async with broker.subscribe("a", timeout_seconds=0.2):
                pytest.fail("nobody confirmed")
        waiting = asyncio.create_task(anext_of(broker))
        await asyncio.sleep(0.1)
        running_redis.start()
        assert await asyncio.wait_for(waiting, PATIENCE_SECONDS) == Message("late", b"x"), (
            "no gap: it heard nothing before"
        )


async def anext_of(broker: Broker) -> Notice:
    async with broker.subscribe("late") as subscription:
        await broker.publish("late", b"x")
        return await following(subscription)


async def test_a_server_that_falls_silent_is_noticed(client: Redis, running_redis: EmbeddedRedis) -> None:
    """A half-open connection gives no error, ever; only a missing pong shows it."""
    silent = asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(4096):
            if not silent.is_set():
                writer.write(part)
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", running_redis.port)
        await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    redis = open_redis(f"redis://:own@127.0.0.1:{port}", name="proxied", timeouts=RedisTimeouts(read=1.0))
    seen: list[Observation] = []
    proxied = Broker(redis, ping_seconds=0.1, observer=Observer(seen.append))
    async with proxied.running() as broker, broker.subscribe("a") as subscription:

        async def is_alive() -> bool:
            while len(subscription):
                await following(subscription)
            await asyncio.sleep(0.3)
            return len(subscription) == 0

        # pongs keep it alive; of a machine that stalls it may not hear for so long, too
        await eventually(is_alive)
        await eventually(lambda: len(seen) % 2 == 0)
        told = len(seen)
        silent.set()
        await eventually(lambda: len(seen) > told)
        assert isinstance(seen[told], DependencyLost)
        silent.clear()
        notice = await following(subscription)
        assert isinstance(notice, Gap)
        while isinstance(notice, Gap):  # and further ones, where the machine stalls
            await client.publish("mh:a", b"x")
            notice = await following(subscription)
        assert notice == Message("a", b"x")
    await close_redis(redis)
    server.close()
    await server.wait_closed()
