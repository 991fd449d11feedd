"""RabbitMQ, NATS JetStream, Kafka's protocol and Kinesis: CloudEvents, order per key, down and up again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.streams.readers import (
    Read,
    kafka_place,
    kinesis_place,
    nats_place,
    rabbitmq_place,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.streams.dock import Dock, Moored

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.broker]

PLACES: dict[str, Any] = {
    "rabbitmq": rabbitmq_place,
    "nats": nats_place,
    "kafka": kafka_place,
    "kinesis": kinesis_place,
}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double of Kinesis is on this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


async def happen(there: Moored, rounds: int, start: int = 0) -> list[str]:
    """Have something happen to three things in turn."""
    ids = []
    for number in range(start, start + rounds):
        for key in ("a", "b", "c"):
            ids += await there.happen(number, key=key)
    return ids


def by_key(read: Sequence[Read]) -> dict[str, list[int]]:
    """Return what came for each key, the first time it came."""
    seen: set[str] = set()
    found: dict[str, list[int]] = {}
    for one in read:
        if one.id not in seen:
            found.setdefault(one.event.get_subject(), []).append(one.event.get_data()["data"])
        seen.add(one.id)
    return found


@pytest.mark.parametrize("kind", PLACES)
async def test_events_arrive_in_order_per_key(dock: Dock, kind: str, request: pytest.FixtureRequest) -> None:
    async with PLACES[kind](request.getfixturevalue(kind)) as place:
        there = await dock.sink(place.target)
        ids = await happen(there, 10)
        read = await place.read(30)
    assert sorted(one.id for one in read) == sorted(ids)
    assert by_key(read) == {key: list(range(10)) for key in "abc"}
    event = read[0].event
    assert (event.get_type(), event.get_source()) == (f"{there.name}.happened", "https://shop.example.com")
    view = await there.delivered(30)
    assert (view["kind"], view["state"]) == (kind, "running")
    secret = next(iter(json.dumps(place.target).split("monohull:")[1:]), "").partition("@")[0]
    assert not secret or secret not in json.dumps(view)
    tested = await there.post("test")
    assert (tested["is_taken"], tested["reason"]) == (True, None)


@pytest.mark.parametrize("kind", ["rabbitmq", "nats", "kafka"])
async def test_attributes_are_headers_in_binary_mode(
    dock: Dock, kind: str, request: pytest.FixtureRequest
) -> None:
    async with PLACES[kind](request.getfixturevalue(kind)) as place:
        there = await dock.sink(place.target, format="binary")
        (event_id,) = await there.happen({"n": 1}, key="key")
        (one,) = await place.read(1)
    assert (one.id, one.event.get_id(), one.event.get_data()) == (event_id, event_id, {"data": {"n": 1}})
    assert (one.event.get_extension("partitionkey"), one.event.get_specversion()) == ("key", "1.0")


@pytest.mark.parametrize(("kind", "kept"), [("rabbitmq", 9), ("nats", 9), ("kafka", 0)])
async def test_a_broker_that_was_away_gets_everything(
    dock: Dock, kind: str, kept: int, request: pytest.FixtureRequest
) -> None:
    """The one that speaks Kafka's protocol has forgotten what it had, of which the sink knows nothing."""
    broker = request.getfixturevalue(kind)
    async with PLACES[kind](broker) as place:
        there = await dock.sink(place.target)
        await happen(there, 3)
        await there.delivered(9)
        broker.kill()
        try:
            await happen(there, 3, 3)
            failing = await there.until(lambda one: one["consecutive_failures"] >= 1)
        finally:
            broker.start()
        await happen(there, 3, 6)
        await there.delivered(27)
        read = await place.read(18 + kept)
    assert by_key(read) == {key: list(range(0 if kept else 3, 9)) for key in "abc"}
    assert (failing["state"], failing["delivered"]) == ("failing", 9)
    assert broker.password not in failing["last_error"]


async def test_a_message_that_no_queue_takes_is_not_lost(dock: Dock, request: pytest.FixtureRequest) -> None:
    broker = request.getfixturevalue("rabbitmq")
    async with rabbitmq_place(broker) as place:
        target = {"rabbitmq": place.target["rabbitmq"] | {"routing_key": "nowhere"}}
        there = await dock.sink(target)
        (event_id,) = await there.happen(1)
        failing = await there.until(lambda one: one["consecutive_failures"] >= 1)
        assert "is a queue bound for it" in failing["last_error"]
        await there.change(target=place.target)
        (one,) = await place.read(1)
        assert one.id == event_id


async def test_what_is_sent_twice_jetstream_keeps_once(dock: Dock, request: pytest.FixtureRequest) -> None:
    async with nats_place(request.getfixturevalue("nats")) as place:
        there = await dock.sink(place.target)
        before = (await there.view())["sequence"]
        ids = await there.happen(1, 2, 3)
        await there.delivered(3)
        await there.post("rewind", {"sequence": before})
        await there.delivered(6)
        assert [one.id for one in await place.read(3)] == ids


async def test_a_subject_that_no_stream_keeps_is_told(dock: Dock, request: pytest.FixtureRequest) -> None:
    broker = request.getfixturevalue("nats")
    there = await dock.sink({"nats": {"url": broker.url, "subject": "nowhere"}})
    await there.happen(1)
    failing = await there.until(lambda one: one["consecutive_failures"] >= 1)
    assert "NoStreamResponse" in failing["last_error"]
    assert (await there.post("test"))["is_taken"] is False
