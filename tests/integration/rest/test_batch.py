"""Several requests in one transaction: all of them or none, each as if it came by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.integration.rest.test_known import SERVICE, person
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = {"Prefer": "return=representation"}
TABLES = """
    create table carts (
        id int generated always as identity primary key,
        owner uuid not null default auth.uid(), note text, total numeric
    );
    create table lines (
        id int generated always as identity primary key,
        cart_id int not null references carts deferrable initially deferred,
        quantity int not null check (quantity > 0)
    );
    create table stock (id int primary key, left_over int not null);
    alter table carts enable row level security;
    alter table lines enable row level security;
    alter table stock enable row level security;
    create policy own on carts using (owner = auth.uid());
    create policy own on lines using (cart_id in (select id from carts));
    create policy anybody on stock using (true);
    grant all on carts, lines, stock to authenticated;
    insert into stock values (1, 100);
    create function path() returns text stable language sql as $$
        select current_setting('request.method') || ' ' || current_setting('request.path')
            || ' ' || coalesce(current_setting('request.headers')::json->>'x-mine', '-')
    $$;
    create function take(item int, n int) returns int language plpgsql as $$
    declare had int;
    begin
        select left_over into had from stock where id = item;
        perform pg_sleep(0.02);
        update stock set left_over = had - n where id = item;
        return had - n;
    end $$;
"""


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, TABLES)


@pytest_asyncio.fixture(loop_scope="module")
async def till(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve(rest_batch_steps="20", rest_plan="true")


async def send(
    served: Served, *steps: Any, headers: dict[str, str] | None = None, who: int = 1
) -> httpx.Response:
    sent = person(who) | (headers or {})
    return await served.client.post("/rest/v1/_batch", headers=sent, json=steps)


def insert(table: str, body: Any, **more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": f"/{table}", "headers": ROWS, "body": body, **more}


async def counts(database: asyncpg.Connection) -> tuple[int, int]:
    row = await database.fetchrow("select (select count(*) from carts), (select count(*) from lines)")
    assert row is not None
    return tuple(row)


async def test_later_steps_take_what_earlier_ones_answered(
    till: Served, database: asyncpg.Connection
) -> None:
    answer = await send(
        till,
        insert("carts", {"note": 'a, "b" é', "total": "1.10"}, name="cart"),
        insert("lines", [{"cart_id": {"$from": "/cart/0/id"}, "quantity": n} for n in (1, 2)]),
        {"path": "/lines?select=cart_id,quantity&id=in.({$/1/*/id})&order=id"},
        {
            "method": "PATCH",
            "path": "/carts?note=eq.{$/cart/0/note}",
            "headers": ROWS,
            "body": {"note": "changed"},
        },
        {
            "path": "/carts?select=note,total,lines(quantity)",
            "headers": {"Accept": "application/vnd.pgrst.object+json"},
            "name": "whole",
        },
        {"method": "POST", "path": "/rpc/path", "headers": {"X-Mine": "yes"}, "body": {}},
        {"path": "/carts?select=note", "headers": {"Accept": "text/csv"}},
        {"method": "DELETE", "path": "/lines?cart_id=eq.{$/cart/0/id}&quantity=eq.2"},
        {"method": "HEAD", "path": "/lines", "headers": {"Prefer": "count=exact"}},
    )
    assert answer.status_code == 200, answer.text
    first, lines, read, changed, whole, called, csv, deleted, head = answer.json()
    assert (first["status"], first["body"][0]["note"], first["body"][0]["total"]) == (201, 'a, "b" é', 1.1)
    assert b'"total":1.10' in answer.content
    assert lines["status"] == 201
    assert read["body"] == [{"cart_id": first["body"][0]["id"], "quantity": n} for n in (1, 2)]
    assert changed["body"][0]["note"] == "changed"
    assert whole["body"] == {"note": "changed", "total": 1.1, "lines": [{"quantity": 1}, {"quantity": 2}]}
    assert called["body"] == "POST /rpc/path yes"
    assert csv["body"] == "note\nchanged"
    assert csv["headers"]["content-type"] == "text/csv; charset=utf-8"
    assert (deleted["status"], deleted["body"]) == (204, None)
    assert (head["status"], head["headers"]["content-range"], head["body"]) == (200, "0-0/1", None)
    assert await counts(database) == (1, 1)


async def test_the_first_refusal_undoes_all_of_it(till: Served, database: asyncpg.Connection) -> None:
    """A batch of twenty whose last fails stores nothing, whatever it fails of."""
    before = [insert("carts", {"note": str(n)}) for n in range(19)]
    plan = {"path": "/carts", "headers": {"Accept": "application/vnd.pgrst.plan+json"}}
    cases: tuple[tuple[Any, int, str], ...] = (
        (insert("lines", {"cart_id": {"$from": "/0/0/id"}, "quantity": 0}), 400, "23514"),
        (insert("lines", {"cart_id": {"$from": "/0/0/nothing"}, "quantity": 1}), 422, "MH110"),
        (insert("carts", {"owner": "00000000-0000-0000-0000-000000000002"}), 403, "42501"),
        (insert("nowhere", {}), 404, "PGRST205"),
        ({"path": "/carts?note=xx.1"}, 400, "PGRST100"),
        (
            {"path": "/carts?id=eq.0", "headers": {"Accept": "application/vnd.pgrst.object+json"}},
            406,
            "PGRST116",
        ),
        ({"path": "/"}, 400, "MH109"),
        ({"path": "/_batch", "method": "POST", "body": []}, 404, "PGRST205"),
        (plan, 406, "PGRST107"),
        (
            {"path": "/carts", "method": "POST", "headers": {"Content-Type": "text/csv"}, "body": 7},
            400,
            "MH109",
        ),
        (insert("rpc/pg_sleep", {}), 404, "PGRST202"),
    )
    for last, status, code in cases:
        answer = await send(till, *before, last)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["batch-step"] == "19"
        assert await counts(database) == (0, 0)
    deferred = await send(till, *before, {**insert("lines", {"cart_id": 999, "quantity": 1}), "headers": {}})
    assert (deferred.status_code, deferred.json()["code"]) == (403, "42501")


async def test_what_fails_at_the_end_undoes_all_of_it(till: Served, database: asyncpg.Connection) -> None:
    """A deferred constraint is looked at by COMMIT, and is no single step's."""
    await database.execute(
        "alter table lines disable row level security; comment on table lines is '@public'"
    )
    await database.execute("notify pgrst, 'reload schema'")
    steps = insert("carts", {}), insert("lines", {"cart_id": 999, "quantity": 1})
    answer = await send(till, *steps)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while answer.json()["code"] == "42501":  # the catalog is read anew
            await asyncio.sleep(0.02)
            answer = await send(till, *steps)
    assert (answer.status_code, answer.json()["code"]) == (409, "23503")
    assert "batch-step" not in answer.headers
    assert await counts(database) == (0, 0)


async def test_limits(connections: Connections, standing: Standing, database: asyncpg.Connection) -> None:
    del connections  # a fresh one first
    till = await standing.serve(rest_batch_steps="20", rest_batch_seconds="1.5")
    many = await send(till, *({"path": "/carts"},) * 21)
    assert (many.status_code, many.json()["code"]) == (400, "MH109")
    read = await till.client.get("/rest/v1/_batch", headers=person(1))
    assert (read.status_code, read.headers["allow"]) == (405, "OPTIONS,POST")
    await database.execute(
        "create function nap() returns int language sql as $$ select 1 from pg_sleep(0.4) $$; "
        "notify pgrst, 'reload schema'"
    )
    steps = insert("carts", {}), *[{"method": "POST", "path": "/rpc/nap"}] * 5
    slow = await send(till, *steps)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while slow.status_code == 404:  # the catalog is read anew
            await asyncio.sleep(0.02)
            slow = await send(till, *steps)
    assert (slow.status_code, slow.json()["code"]) == (504, "MH111")
    assert await counts(database) == (0, 0)


async def test_a_batch_that_met_another_is_begun_anew(till: Served, database: asyncpg.Connection) -> None:
    taking = {"method": "POST", "path": "/rpc/take", "body": {"item": 1, "n": 1}}
    wishes = {"Prefer": "isolation=repeatable-read, retry=5"}
    answers = await asyncio.gather(*(send(till, taking, headers=wishes) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    assert await database.fetchval("select left_over from stock") == 96
    for wish in ("isolation=none", "retry=6", "retry=x"):
        refused = await send(till, taking, headers={"Prefer": wish})
        assert (refused.status_code, refused.json()["code"]) == (400, "MH109")
    without = await asyncio.gather(
        *(send(till, taking, headers={"Prefer": "isolation=serializable"}) for _ in range(4))
    )
    done = sum(answer.status_code == 200 for answer in without)
    assert done >= 1
    assert {answer.json()["code"] for answer in without if answer.status_code != 200} <= {"40001"}
    assert await database.fetchval("select left_over from stock") == 96 - done


async def test_with_a_key_it_takes_effect_once(till: Served, database: asyncpg.Connection) -> None:
    steps = (
        insert("carts", {"note": "x"}, name="cart"),
        insert("lines", {"cart_id": {"$from": "/cart/0/id"}, "quantity": 1}),
    )
    key = {"Idempotency-Key": "a"}
    answers = await asyncio.gather(*(send(till, *steps, headers=key) for _ in range(10)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert await counts(database) == (1, 1)
    other = await send(till, *steps[:1], headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "MH107")


async def test_each_sees_their_own(till: Served, database: asyncpg.Connection) -> None:
    await send(till, insert("carts", {"note": "mine"}))
    other = await send(
        till, {"path": "/carts"}, {"method": "PATCH", "path": "/carts", "body": {"note": "z"}}, who=2
    )
    assert [step["body"] for step in other.json()] == [[], None]
    assert await database.fetchval("select note from carts") == "mine"
    nobody = await till.client.post("/rest/v1/_batch", json=[{"path": "/carts"}])
    assert [step["body"] for step in nobody.json()] == [[]]
    everything = await till.client.post("/rest/v1/_batch", json=[{"path": "/stock"}], headers=SERVICE)
    assert everything.json()[0]["status"] == 200
