"""Redis as a broker: streams and publish/subscribe, their messages, rewinding, rows, pausing and failing."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat

from monohull.kernel.embedded import EmbeddedRedis, new_password
from monohull.kernel.redis_connection import close_redis, open_redis
from tests.integration.streams.dock import new_name
from tests.patience import PATIENCE_SECONDS, PATIENT, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis.asyncio import Redis

    from monohull.kernel.home import Connections
    from tests.integration.streams.dock import Dock

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that a test may stop."""
    broker = EmbeddedRedis(tmp_path, password=new_password(), durable=True)
    broker.start()
    yield broker
    broker.stop()


def streamed(url: str, **more: Any) -> dict[str, Any]:
    return {"redis_stream": {"url": url, "stream": new_name(), **more}}


def stream_of(target: dict[str, Any]) -> str:
    name: str = target["redis_stream"]["stream"]
    return name


async def entries(redis: Redis, stream: str) -> list[dict[str, str]]:
    """Return the entries of a stream, the oldest first."""
    found: Any = await redis.xrange(stream)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in found]


def event_in(entry: dict[str, str]) -> Any:
    """Read an entry as a CloudEvent, which the specification's own library does."""
    return JSONFormat().read(None, entry["data"].encode())


async def test_an_event_becomes_a_cloud_event(
    dock: Dock, redis: Redis, shared_connections: Connections
) -> None:
    target = streamed(shared_connections.redis_url)
    there = await dock.sink(target)
    answer = await dock.staff.call(
        "PATCH", f"/streams/sinks/{there.id}", {"events": ["streams.sink_updated"]}
    )
    (one,) = await until_there(redis, stream_of(target), 1)
    event = event_in(one)
    query = "select *, payload::text as said from monohull.outbox where key = $1 and name = $2"
    (row,) = await dock.rows(query, there.id, "streams.sink_updated")
    assert one["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert one["id"] == event.get_id() == str(row["id"])
    assert (event.get_type(), event.get_source()) == ("streams.sink_updated", "https://shop.example.com")
    assert (event.get_subject(), event.get_extension("partitionkey")) == (there.id, there.id)
    assert event.get_time() == row["occurred_at"]
    assert event.get_extension("sequence") == f"{row['sequence']:020}"
    assert event.get_data() == json.loads(row["said"])
    # the request that caused it can be found
    assert event.get_extension("requestid") == one["x-request-id"] == answer.headers["x-request-id"]
    assert event.get_extension("traceparent") == one["traceparent"] == row["traceparent"]
    # and its schema is where it says
    schema = event.get_dataschema()
    assert schema == "https://shop.example.com/platform/v1/streams/schemas/streams.sink_updated/1"
    found = await dock.served.client.get(schema.removeprefix("https://shop.example.com"))
    assert found.status_code == 200, found.text
    assert (found.headers["content-type"], found.json()["$id"]) == ("application/schema+json", schema)
    jsonschema.Draft202012Validator(found.json()).validate(event.get_data())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(found.json()).validate({})


async def until_there(redis: Redis, stream: str, number: int) -> list[dict[str, str]]:
    async def are_there() -> bool:
        return bool(await redis.xlen(stream) >= number)

    await eventually(are_there)
    return await entries(redis, stream)


async def until_told(redis: Redis, stream: str, event_id: str) -> list[str]:
    """Return the names of the events in a stream once one is among them."""

    async def is_there() -> bool:
        return event_id in [entry["id"] for entry in await entries(redis, stream)]

    await eventually(is_there)
    return [event_in(entry).get_type() for entry in await entries(redis, stream)]


async def test_attributes_can_be_headers(dock: Dock, redis: Redis, shared_connections: Connections) -> None:
    target = streamed(shared_connections.redis_url, stream=f"{new_name()}:{{area}}:{{event}}")
    there = await dock.sink(target, format="binary")
    (event_id,) = await there.happen({"n": 1}, key="a\tb")
    template = stream_of(target)
    stream = template.format(area=there.name, event=f"{there.name}.happened")
    (one,) = await until_there(redis, stream, 1)
    headers = {name: value.encode() for name, value in one.items() if name != "data"}
    event = from_kafka(KafkaMessage(headers, None, one["data"].encode()), JSONFormat())
    assert (event.get_id(), event.get_data()) == (event_id, {"data": {"n": 1}})
    assert event.get_subject() == "a%09b", "attributes hold no control characters"


async def test_publish_subscribe(dock: Dock, redis: Redis, shared_connections: Connections) -> None:
    target = {"redis_pubsub": {"url": shared_connections.redis_url, "channel": f"{new_name()}.{{event}}"}}
    there = await dock.sink(target)
    async with redis.pubsub() as listening:
        await listening.psubscribe(f"{target['redis_pubsub']['channel'].removesuffix('{event}')}*")
        assert await listening.get_message(timeout=PATIENCE_SECONDS)  # that it listens
        ids = await there.happen(1, 2)
        heard: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(heard) < 2:
                said = await listening.get_message(ignore_subscribe_messages=True, timeout=1)
                if said is not None:
                    heard.append(JSONFormat().read(None, said["data"]).get_id())
    assert heard == ids


async def test_a_sink_goes_back_and_forth(dock: Dock, redis: Redis, shared_connections: Connections) -> None:
    target = streamed(shared_connections.redis_url)
    there = await dock.sink(target)
    before = (await there.view())["sequence"]
    ids = await there.happen(*range(5))
    seen = await there.delivered(5)
    moment = (await dock.rows("select relayed_at from monohull.outbox where id = $1", ids[3]))[0][0]
    back = await there.post("rewind", {"sequence": before})
    assert back["sequence"] == before
    await there.delivered(10)
    await there.post("rewind", {"time": moment.isoformat()})
    await until_there(redis, stream_of(target), 12)
    found = [entry["id"] for entry in await entries(redis, stream_of(target))]
    assert found[:10] == ids + ids
    assert found[-2:] == ids[3:], "what is sent again is the same"
    assert (await there.post("rewind", {"sequence": 10**15}))["sequence"] >= seen["sequence"]
    names = await dock.rows("select name from monohull.outbox where key = $1 order by position", there.id)
    assert [row["name"] for row in names] == ["streams.sink_created", *["streams.sink_rewound"] * 3]


async def test_a_paused_sink_keeps_its_place(
    dock: Dock, redis: Redis, shared_connections: Connections
) -> None:
    target = streamed(shared_connections.redis_url)
    there = await dock.sink(target)
    paused = await there.change(is_paused=True)
    assert paused["state"] == "paused"
    ids = await there.happen(*range(3))
    await there.until(lambda one: one["lag_events"] >= 3)
    assert await redis.xlen(stream_of(target)) == 0
    assert (await there.change(is_paused=False))["state"] == "running"
    await there.delivered(3)
    assert [entry["id"] for entry in await entries(redis, stream_of(target))] == ids


async def test_one_that_is_down_holds_up_no_other(
    dock: Dock, shared_connections: Connections, broker: EmbeddedRedis
) -> None:
    name = new_name()
    target = streamed(broker.url)
    down = await dock.sink(target, events=[f"{name}.*"])
    up = await dock.sink(streamed(shared_connections.redis_url), events=[f"{name}.*"])
    ids = await dock.happen(f"{name}.happened", 1, 2)
    await down.delivered(2)
    broker.stop()
    ids += await dock.happen(f"{name}.happened", *range(20), key="one")
    await up.delivered(22)
    failing = await down.until(lambda one: one["consecutive_failures"] >= 2)
    assert (failing["state"], failing["delivered"], failing["sequence"] > 0) == ("failing", 2, True)
    assert failing["lag_events"] >= 20
    assert "onnect" in failing["last_error"]
    assert broker.password not in json.dumps(failing)
    scraped = (await dock.served.client.get("/metrics")).text
    assert f'monohull_streams_sink_failures{{sink="{down.id}"}}' in scraped
    assert f'monohull_feed_reader_lag_events{{reader="streams.{down.id}"}}' in scraped
    broker.start()
    view = await down.delivered(22)
    assert (view["state"], view["failing_since"]) == ("running", None)
    client = open_redis(broker.url, timeouts=PATIENT)
    found = [entry["id"] for entry in await entries(client, stream_of(target))]
    await close_redis(client)
    assert list(dict.fromkeys(found)) == ids, "all of them, in order"


async def test_rows_of_tables(dock: Dock, redis: Redis, shared_connections: Connections) -> None:
    table = f"orders_{new_name()}"
    await dock.execute(f"create table public.{table} (id int primary key, status text)")
    target = streamed(shared_connections.redis_url)
    rows = [{"table": table, "columns": ["status"], "condition": "new.status = 'paid'"}]
    there = await dock.sink(target, events=[], rows=rows)
    all_events = streamed(shared_connections.redis_url)
    await dock.sink(all_events, events=["*"])
    await dock.execute(f"insert into public.{table} values (1, 'open')")
    await dock.execute(f"update public.{table} set status = 'paid'")
    await there.delivered(1)
    (one,) = await entries(redis, stream_of(target))
    event = event_in(one)
    assert (event.get_type(), event.get_subject()) == ("rows.updated", f"public.{table}:1")
    assert event.get_data()["record"] == {"id": 1, "status": "paid"}
    told = await dock.happen("shop.opened", 1)
    found = await until_told(redis, stream_of(all_events), told[0])
    assert not [name for name in found if name.startswith("rows.")], "* does not stand for rows"
    trigger = "select count(*) from pg_trigger where tgrelid = $1::text::regclass and tgname like 'monohull%'"
    assert (await dock.rows(trigger, f"public.{table}"))[0][0] > 0
    await there.change(rows=[])
    assert (await dock.rows(trigger, f"public.{table}"))[0][0] == 0
    await there.change(rows=rows)
    assert (await dock.call("DELETE", f"/sinks/{there.id}")).status_code == 204
    assert (await dock.rows(trigger, f"public.{table}"))[0][0] == 0
    assert not await dock.rows("select 1 from monohull.feed_readers where name = $1", f"streams.{there.id}")


async def test_a_test_says_what_came_of_it(
    dock: Dock, redis: Redis, shared_connections: Connections, broker: EmbeddedRedis
) -> None:
    target = streamed(shared_connections.redis_url)
    there = await dock.sink(target, is_paused=True)
    tested = await there.post("test")
    assert (tested["is_taken"], tested["reason"]) == (True, None)
    (one,) = await entries(redis, stream_of(target))
    assert (one["id"], event_in(one).get_type()) == (tested["event_id"], "streams.sink_tested")
    broker.stop()
    await there.change(target=streamed(broker.url))
    tested = await there.post("test")
    assert tested["is_taken"] is False
    assert "ConnectionError" in tested["reason"]


async def test_a_changed_target_is_used_at_once(
    dock: Dock, redis: Redis, shared_connections: Connections
) -> None:
    first, second = streamed(shared_connections.redis_url), streamed(shared_connections.redis_url)
    there = await dock.sink(first)
    (before,) = await there.happen(1)
    await there.delivered(1)
    await there.change(target=second)
    (after,) = await there.happen(2)
    await there.delivered(2)
    assert [entry["id"] for entry in await entries(redis, stream_of(first))] == [before]
    assert [entry["id"] for entry in await entries(redis, stream_of(second))] == [after]
