"""One worker carries events to a sink at a time, and another goes on when it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modules.streams.assembly import build_envelopes, build_vault
from modules.streams.claims import SinkClaims
from modules.streams.settings import StreamsSettings
from monohull.kernel.feed_reader import lock_of
from tests.integration.streams.dock import new_name
from tests.patience import eventually

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from monohull.kernel.home import Connections
    from tests.integration.streams.dock import Dock

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOLDERS = """
    select pid from pg_locks
    where locktype = 'advisory' and granted and objsubid = 1
        and ((classid::bigint << 32) | objid::bigint) = $1
"""


async def holders(dock: Dock, sink_id: str) -> list[int]:
    return [row["pid"] for row in await dock.rows(HOLDERS, lock_of(f"streams.{sink_id}"))]


ALL_HOLDERS = """
    select pid, count(*) as sinks from pg_locks
    where locktype = 'advisory' and granted and objsubid = 1
        and ((classid::bigint << 32) | objid::bigint) = any ($1::bigint[])
    group by pid
"""


def another(dock: Dock) -> SinkClaims:
    """Return what a second worker does for sinks."""
    runtime = dock.served.runtime
    return SinkClaims(
        runtime.database,
        build_vault(runtime),
        build_envelopes(runtime),
        runtime.settings.of(StreamsSettings),
        runtime.observer,
    )


async def test_two_workers_share_the_sinks(dock: Dock, redis: Redis, shared_connections: Connections) -> None:
    streams = [new_name() for _ in range(4)]
    target = {"url": shared_connections.redis_url}
    sinks = [await dock.sink({"redis_stream": target | {"stream": stream}}) for stream in streams]
    locks = [
        lock_of(f"streams.{row['id']}") for row in await dock.rows("select id from monohull.stream_sinks")
    ]
    async with another(dock).running():

        async def is_shared() -> bool:
            numbers = [row["sinks"] for row in await dock.rows(ALL_HOLDERS, locks)]
            return len(numbers) == 2 and sum(numbers) == len(locks) and max(numbers) - min(numbers) <= 1

        await eventually(is_shared)
        for sink in sinks:
            await sink.happen(*range(3), key="one")
            await sink.delivered(3)
    for sink in sinks:  # and the first goes on for the second, which has ended
        await sink.happen(*range(3, 6), key="one")
        await sink.delivered(6)
    for stream in streams:
        found: Any = await redis.xrange(stream)
        assert len({fields[b"id"] for _, fields in found}) == 6


async def test_another_goes_on(dock: Dock, redis: Redis, shared_connections: Connections) -> None:
    stream = new_name()
    there = await dock.sink({"redis_stream": {"url": shared_connections.redis_url, "stream": stream}})
    ids = await there.happen(*range(3), key="one")
    await there.delivered(3)
    async with another(dock).running():
        (first,) = await holders(dock, there.id)
        await dock.execute("select pg_terminate_backend($1)", first)

        async def is_led_again() -> bool:
            return await holders(dock, there.id) not in ([], [first])

        ids += await there.happen(*range(3, 6), key="one")
        await eventually(is_led_again)
        await there.delivered(6)
        assert len(await holders(dock, there.id)) == 1
    ids += await there.happen(6, key="one")
    await there.delivered(7)
    found: Any = await redis.xrange(stream)
    assert list(dict.fromkeys(fields[b"id"].decode() for _, fields in found)) == ids


async def test_a_deleted_sink_leaves_no_place(dock: Dock, shared_connections: Connections) -> None:
    target = {"redis_stream": {"url": shared_connections.redis_url, "stream": new_name()}}
    there = await dock.sink(target)
    await there.happen(1)
    await there.delivered(1)
    assert (await dock.call("DELETE", f"/sinks/{there.id}")).status_code == 204

    async def is_given_up() -> bool:
        return not await holders(dock, there.id)

    await eventually(is_given_up)
    assert not await dock.rows("select 1 from monohull.feed_readers where name = $1", f"streams.{there.id}")
