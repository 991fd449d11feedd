"""From each kind of broker into tables and jobs: once, whatever is delivered twice."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.integration.ingest.desk import decoded, order
from tests.integration.ingest.senders import NatsSender
from tests.patience import eventually

if TYPE_CHECKING:
    from tests.brokers import Nats
    from tests.integration.ingest.desk import Desk
    from tests.integration.ingest.senders import RedisSender, Sender

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_each_message_becomes_one_row(desk: Desk, sender: Sender) -> None:
    table = await desk.table()
    await sender.send(*[(str(number), order(number)) for number in (1, 1, 2, 3, 2)])
    tap = await desk.source(sender, table)
    view = await tap.until(lambda view: view["taken"] + view["duplicates"] == 5)
    assert (view["taken"], view["duplicates"], view["state"], view["last_error"]) == (3, 2, "running", None)
    rows = await tap.rows_of(table, 3)
    assert [(row["id"], row["total"]) for row in rows] == [(n, Decimal(f"{n}.10")) for n in (1, 2, 3)]
    assert {(row["inserted_by"], row["state"]) for row in rows} == {("authenticated", "new")}
    assert decoded(rows[0]["document"]) == {"id": 1, "order": {"total": 1.1}}

    # read again from the start, as after a lost acknowledgement: nothing has its effect twice
    await sender.send(("3", order(3)), ("4", order(4)))
    rows = await tap.rows_of(table, 4)
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    await tap.until(lambda view: view["taken"] + view["duplicates"] == 7)
    assert await eventually(sender.left, lambda left: left == 0) == 0
    await tap.delete()


async def test_what_is_delivered_again_changes_nothing(desk: Desk, redis_sender: RedisSender) -> None:
    table = await desk.table()
    await redis_sender.send(*[(None, order(number)) for number in range(5)], (None, "{"))
    tap = await desk.source(redis_sender, table, id_field=None, batch_size=2)
    await tap.until(lambda view: view["taken"] == 6)
    await redis_sender.rewind()
    view = await tap.until(lambda view: view["duplicates"] == 6)
    assert (view["taken"], view["dead_letters"]) == (6, 1)
    assert [row["id"] for row in await tap.rows_of(table, 5)] == [0, 1, 2, 3, 4]
    await tap.delete()


async def test_without_an_id_the_place_counts(desk: Desk, redis_sender: RedisSender) -> None:
    table = await desk.table()
    await redis_sender.send((None, order(1)), (None, order(1)))
    tap = await desk.source(redis_sender, table, id_field=None)
    assert len(await tap.rows_of(table, 2)) == 2
    await tap.delete()


async def test_messages_become_jobs(desk: Desk, redis_sender: RedisSender) -> None:
    good, bad = '{"id": 7, "total": 1.5}', '{"id": "seven"}'
    await redis_sender.send(("a", good), ("a", good), ("b", bad))
    tap = await desk.tap({"origin": redis_sender.origin, "destination": {"job": {"job": "shop.receive"}}})
    letter = await tap.letter("dead")
    assert (letter["reason"], letter["attempts"], letter["message_id"]) == ("bad_arguments", 1, "b")
    jobs = await desk.rows("select arguments::text from monohull.jobs where name = 'shop.receive'")
    assert [decoded(job["arguments"]) for job in jobs] == [{"id": 7, "total": 1.5}]
    await tap.delete()


async def test_a_job_goes_on_with_the_trace_of_its_message(desk: Desk, redis_sender: RedisSender) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {"traceparent": parent, "x-request-id": "order-7"}
    await redis_sender.send(("t1", '{"id": 71, "total": 1}'), **headers)
    await redis_sender.send(("t2", '{"id": 72, "total": 1}'), **headers | {"x-request-id": "two\nlines"})
    await redis_sender.send(("t3", '{"id": 73, "total": 1}'))
    tap = await desk.tap({"origin": redis_sender.origin, "destination": {"job": {"job": "shop.receive"}}})
    await tap.until(lambda view: view["taken"] == 3)
    query = "select request_id, traceparent from monohull.jobs where (arguments ->> 'id')::int = any ($1) "
    jobs = await desk.rows(f"{query} order by arguments ->> 'id'", [71, 72, 73])
    assert [job["request_id"] for job in jobs] == ["order-7", "a" * 32, None]
    assert [(job["traceparent"] or "")[:35] for job in jobs] == [parent[:35], parent[:35], ""]
    assert jobs[0]["traceparent"] != parent, "its part is the taking of the message"
    await tap.delete()


async def test_a_pause_leaves_messages_in_the_broker(desk: Desk, redis_sender: RedisSender) -> None:
    table = await desk.table()
    tap = await desk.source(redis_sender, table)
    await redis_sender.send(("1", order(1)))
    await tap.rows_of(table, 1)
    assert (await tap.change(is_paused=True))["state"] == "paused"
    await tap.let_go()
    await redis_sender.send(("2", order(2)))
    assert await redis_sender.left() == 1
    await tap.change(is_paused=False, batch_size=1)
    assert [row["id"] for row in await tap.rows_of(table, 2)] == [1, 2]
    await tap.delete()


@pytest.mark.broker
async def test_a_broker_that_is_away_is_waited_for(desk: Desk, nats: Nats) -> None:
    sender, table = NatsSender(nats), await desk.table()
    await sender.send(("1", order(1)))
    tap = await desk.source(sender, table)
    await tap.rows_of(table, 1)
    nats.stop()
    view = await tap.until(lambda view: view["state"] == "failing" and view["consecutive_failures"] > 1)
    assert view["next_attempt_at"] is not None
    assert nats.password not in str(view)
    nats.start()
    await sender.send(("2", order(2)))
    await tap.rows_of(table, 2)
    await tap.until(lambda view: view["state"] == "running")
    await tap.delete()
