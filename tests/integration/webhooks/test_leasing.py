"""What is taken and what is given up, looked at in transactions that are rolled back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from modules.webhooks.assembly import build_vault
from modules.webhooks.leasing import take
from modules.webhooks.looks import OVERDUE
from monohull.kernel.clock import monotonic_seconds
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from tests.integration.webhooks.office import Listener, Office

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def transaction(office: Office) -> AsyncIterator[asyncpg.Connection]:
    """Lend a connection whose work nobody sees."""
    async with office.served.runtime.database.connected() as pooled:
        raw: Any = await pooled.get_raw_connection()
        connection: asyncpg.Connection = raw.driver_connection
        begun = connection.transaction()
        await begun.start()
        try:
            yield connection
        finally:
            await begun.rollback()


async def waiting(
    connection: asyncpg.Connection,
    there: Listener,
    *,
    state: str = "sending",
    attempts: int = 1,
    age: int = 0,
) -> UUID:
    """Make a delivery that has been due for a second; return its id."""
    query = """
        with event as (
            insert into monohull.webhook_events (id, name, version, occurred_at, payload)
            values (gen_random_uuid(), 'shop.lost', 1, now(), '{}') returning id
        )
        insert into monohull.webhook_deliveries
            (id, endpoint_id, event_id, state, attempts, due_at, created_at)
        select $1, $2, id, $3, $4, now() - interval '1 s', now() - make_interval(secs => $5) from event
    """
    delivery_id = uuid4()
    await connection.execute(query, delivery_id, UUID(there.id), state, attempts, age)
    return delivery_id


async def test_a_lost_attempt_was_the_last_one(office: Office) -> None:
    """A worker that dies of a delivery must not be given it for ever."""
    twice = await office.endpoint(max_attempts=2)
    for_ever = await office.endpoint(retry_window_seconds=60, max_attempts=None)
    async with transaction(office) as connection:
        over = {await waiting(connection, twice, attempts=2), await waiting(connection, for_ever, age=61)}
        again = {await waiting(connection, twice), await waiting(connection, for_ever, age=59)}
        never_sent = await waiting(connection, for_ever, state="pending", attempts=0, age=61)
        taken = await take(connection, 10)
        assert {one.id for one in taken.deliveries} == again | {never_sent}
        assert {one.id for one in taken.lost} == over
        rows = await connection.fetch(
            "select d.state, d.reason, a.outcome from monohull.webhook_deliveries as d "
            "join monohull.webhook_attempts as a on a.delivery_id = d.id and a.number = d.attempts "
            "where d.id = any ($1)",
            list(over),
        )
        assert [tuple(row) for row in rows] == [("dead", "worker_lost", "lost")] * 2
        assert (await take(connection, 10)).lost == ()


async def test_endpoints_take_turns(office: Office) -> None:
    """With room for one request, the endpoint that comes first in the table does not always have it."""
    first, second = await office.endpoint(), await office.endpoint()
    served: set[str] = set()
    async with transaction(office) as connection:
        for there in (first, second):
            for _ in range(3):
                await waiting(connection, there, state="pending", attempts=0)
        for _ in range(30):
            savepoint = connection.transaction()
            await savepoint.start()
            (one,) = (await take(connection, 1)).deliveries
            served.add(str(one.endpoint_id))
            await savepoint.rollback()
    assert served == {first.id, second.id}


async def test_a_disabled_endpoint_keeps_nothing(office: Office) -> None:
    """What a worker gave back or lost after the endpoint was disabled is given up too."""
    there = await office.endpoint(is_enabled=False)
    for state, attempts in (("pending", 0), ("sending", 1)):
        async with office.served.runtime.database.connected() as pooled:
            raw: Any = await pooled.get_raw_connection()
            await waiting(raw.driver_connection, there, state=state, attempts=attempts)
    found = await there.settled(2)
    assert {(one["state"], one["reason"]) for one in found} == {("dead", "endpoint_disabled")}
    attempts_ = [(await there.detail(one["id"]))["attempts"] for one in found]
    assert [[one["outcome"] for one in few] for few in attempts_] == [[], ["lost"]]


async def test_a_test_waits_for_who_disables(office: Office) -> None:
    there = await office.endpoint()
    async with office.served.runtime.database.unit_of_work() as work:
        connection: Any = await work.connection()
        await connection.exec_driver_sql("select from monohull.webhook_fanout for update")
        asked = asyncio.create_task(office.call("POST", f"/endpoints/{there.id}/test"))
        await until_blocked(office, asked, "webhook_fanout")
        await connection.exec_driver_sql(
            "update monohull.webhook_endpoints set is_enabled = false, disabled_at = now() where id = $1",
            (UUID(there.id),),
        )
    answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")


async def until_blocked(office: Office, asked: asyncio.Task[Any], by: str) -> None:
    """Return once somebody waits for a lock, or the request has been answered."""
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    query = (
        "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%' || $1 || '%' "
        "and datname = current_database()"
    )
    while not asked.done() and not await office.rows(query, by):
        assert monotonic_seconds() < deadline
        await asyncio.sleep(0.02)


async def test_deleting_much_holds_nobody_up(office: Office) -> None:
    """While the deliveries of an endpoint go, events are fanned out, and nothing is made for it."""
    there = await office.endpoint()
    await there.happen(1)
    await there.settled()
    async with office.served.runtime.database.unit_of_work() as work:
        connection: Any = await work.connection()
        query = "select from monohull.webhook_deliveries where endpoint_id = $1 for update"
        await connection.exec_driver_sql(query, (UUID(there.id),))
        asked = asyncio.create_task(office.call("DELETE", f"/endpoints/{there.id}"))
        await until_blocked(office, asked, "delete from monohull.webhook_deliveries")
        await connection.exec_driver_sql("select from monohull.webhook_fanout for update nowait")
    assert (await asked).status_code == 204
    assert (await office.call("GET", f"/endpoints/{there.id}")).status_code == 404


async def test_what_waits_its_turn_is_not_overdue(office: Office) -> None:
    ordered, rated = await office.endpoint(), await office.endpoint(rate_per_second=1)
    async with transaction(office) as connection:
        head = await waiting(connection, ordered)
        late = [await waiting(connection, one, state="pending", attempts=0) for one in (ordered, rated)]
        await connection.execute(
            "update monohull.webhook_deliveries set order_key = 'a' where endpoint_id = $1", UUID(ordered.id)
        )
        move = (
            "update monohull.webhook_deliveries set due_at = now() - make_interval(secs => $2) where id = $1"
        )
        for one in late:
            await connection.execute(move, one, 3600)
        assert await connection.fetchval(OVERDUE) < 60
        await connection.execute(move, head, 7200)
        assert await connection.fetchval(OVERDUE) == pytest.approx(7200, abs=1)


async def test_a_defect_is_an_attempt_that_failed(office: Office) -> None:
    there = await office.endpoint(max_attempts=2)
    sealed = build_vault(office.served.runtime).close_headers(UUID(there.id), ["no", "mapping"])  # type: ignore[arg-type]
    await office.execute("update monohull.webhook_endpoints set headers = $2 where id = $1", there.id, sealed)
    await there.happen(1)
    (delivery,) = await there.settled()
    assert (delivery["state"], delivery["attempts"], delivery["reason"]) == ("dead", 2, "defect")
    attempt = (await there.detail(delivery["id"]))["attempts"][0]
    assert "ValidationError" in attempt["message"]
