"""``kill -9`` of whoever carries events, and of the broker, while they are carried."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from modules.streams.assembly import build_sinks
from modules.streams.dtos import CreateSink
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.configuration import load
from monohull.kernel.embedded import EmbeddedRedis, new_password
from monohull.kernel.outbox import publish
from monohull.kernel.principal import SYSTEM
from monohull.kernel.redis_connection import UNREACHABLE, close_redis, open_redis
from monohull.kernel.runtime import Runtime
from tests.application import JWT_SECRET
from tests.integration.webhooks.office import event_called
from tests.patience import PATIENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monohull.kernel.home import Connections
    from tests.crash_jobs.conftest import Fleet

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(900)]

EVENTS = 1200
KEYS = 8
SEED = 20261126
QUICK = {
    "streams_batch": "20",
    "streams_retry_base_seconds": "0.1",
    "streams_retry_max_seconds": "0.5",
    "streams_timeout_seconds": "5",
}


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    broker = EmbeddedRedis(tmp_path / "broker", password=new_password(), durable=True)
    broker.start()
    yield broker
    broker.stop()


async def entries(url: str) -> list[tuple[str, str, int]]:
    """Return id, key and number of what the broker has; an empty list while it is away."""
    client = open_redis(url, timeouts=PATIENT)
    try:
        found: Any = await client.xrange("told")
    except UNREACHABLE:
        return []
    finally:
        await close_redis(client)
    read = []
    for _, fields in found:
        event = msgspec.json.decode(fields[b"data"])
        read.append((event["id"], event["subject"], event["data"]["data"]))
    return read


async def until(url: str, number: int) -> None:
    deadline = monotonic_seconds() + 240
    while len({one[0] for one in await entries(url)}) < number:
        assert monotonic_seconds() < deadline, len(await entries(url))
        await asyncio.sleep(0.05)


async def have_happen(runtime: Runtime) -> dict[str, tuple[str, int]]:
    """Publish events in transactions, of which some are undone; return those that were not."""
    dice = random.Random(SEED)
    told: dict[str, tuple[str, int]] = {}
    happened = event_called("shop.happened")
    for number in range(EVENTS):
        key = f"thing {dice.randrange(KEYS)}"
        try:
            async with runtime.database.unit_of_work() as work:
                event_id = str(await publish(work, happened(data=number), key=key))
                if number % 10 == 3:
                    raise Undone  # noqa: TRY301 what the test is about
        except Undone:
            continue
        told[event_id] = (key, number)
    return told


async def test_what_was_committed_arrives_in_order(
    connections: Connections, fleet: Fleet, broker: EmbeddedRedis, tmp_path: Path
) -> None:
    environ = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET}
    loaded = load(environ, project=tmp_path)
    runtime = Runtime(loaded.settings, loaded.modules, connections, process="cli")
    async with runtime.running():
        target = {"redis_stream": {"url": broker.url, "stream": "told"}}
        wanted = {"name": "told", "target": target, "events": ["shop.*"]}
        await build_sinks(runtime).create(msgspec.convert(wanted, CreateSink), SYSTEM)
        settings = QUICK | {"modules": ""}
        leader, other = fleet.start(**settings), fleet.start(**settings)
        telling = asyncio.create_task(have_happen(runtime))
        await until(broker.url, 100)
        fleet.kill(leader)
        third = fleet.start(**settings)
        await until(broker.url, 400)
        broker.kill()
        await asyncio.sleep(0.5)
        broker.start()
        await until(broker.url, 700)
        fleet.kill(other)
        fleet.kill(third)
        fleet.start(**settings)
        told = await telling
        await until(broker.url, len(told))
        await asyncio.sleep(1)  # nothing else comes
    arrived = await entries(broker.url)
    assert {one[0]: one[1:] for one in arrived} == told, "each with its id, and none that was undone"
    seen: dict[str, list[int]] = {}
    for _, key, number in dict.fromkeys(arrived):
        seen.setdefault(key, []).append(number)
    assert all(numbers == sorted(numbers) for numbers in seen.values()), "in order of each key"
    assert len(arrived) < len(told) + 5 * int(QUICK["streams_batch"]), "what came twice is a few batches"
