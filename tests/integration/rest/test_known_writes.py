"""Writes that are remembered do what new ones do, and answer as they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from modules.rest import asgi
from tests.integration.rest.conftest import serving
from tests.integration.rest.test_known import OWN, SERVICE, person

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
ROWS = {"Prefer": "return=representation"}
ONE = {"Accept": "application/vnd.pgrst.object+json"}
UPSERT = {"Prefer": "resolution=merge-duplicates,return=representation"}

RESET = """
    delete from products;
    insert into products values (100, 'Rope'), (101, 'Hook'), (102, 'Crate');
    delete from memos;
"""
MEMOS = """
    create table memos (
        id int primary key, owner uuid not null default auth.uid(), text text check (text <> 'no')
    );
    alter table memos enable row level security;
    create policy own on memos using (owner = auth.uid());
    grant all on memos to authenticated;
"""

WRITES: tuple[tuple[str, str, tuple[str, ...], dict[str, str]], ...] = (
    ("POST", "products", ('{"id":1000,"name":"a"}', '{"id":1001,"name":"b \\u00e9"}'), ROWS),
    ("POST", "products", ('{"id":1000,"name":"a"}', '{"id":1002,"name":null}', '{"id":100,"name":"x"}'), {}),
    ("POST", "products", ('{"id":1000,"name":"a"}', '{"id":"x","name":"b"}', '{"id":1e99,"name":"c"}'), ROWS),
    (
        "POST",
        "products",
        ('[{"id":1000,"name":"a"},{"id":1001,"name":"b"}]', '[{"id":5000,"name":"z"}]'),
        ROWS,
    ),
    ("POST", "products", ('[{"id":1000,"name":"a"}]', '[{"id":1000,"name":"a"},{"id":1001}]', "[]", "7"), {}),
    ("POST", "products", ('{"id":1000,"name":"a"}', '{"id":1000,"name":"a"', "", "nul"), {}),
    ("POST", "products?select=id", ('{"id":1000,"name":"a"}', '{"id":1003,"name":"b"}'), ROWS),
    (
        "POST",
        "products",
        ('{"id":1000,"name":"a"}', '{"id":1003,"name":"b"}'),
        {"Prefer": "return=headers-only"},
    ),
    ("POST", "products", ('{"id":1000,"name":"a"}', '{"id":100,"name":"b"}'), UPSERT),
    ("POST", "products?on_conflict=id", ('[{"id":1000,"name":"a"}]', '[{"id":100,"name":"b"}]'), UPSERT),
    ("POST", "products", ('{"id":1000,"name":"a"}', '{"id":1001,"name":"b"}'), ROWS | ONE),
    (
        "POST",
        "products",
        ('[{"id":1000,"name":"a"}]', '[{"id":1,"name":"b"},{"id":2,"name":"c"}]'),
        ROWS | ONE,
    ),
    (
        "PATCH",
        "products?id=eq.{}",
        ('100 {"name":"a"}', '101 {"name":"b"}', '7 {"name":"c"}', 'x {"name":"c"}'),
        ROWS,
    ),
    ("PATCH", "products?id=eq.{}", ('100 {"name":"a"}', '101 {"name":null}', '100 {"nam":"c"}'), {}),
    ("PATCH", "products?id=eq.{}", ('100 {"name":"a"}', '7 {"name":"b"}'), ROWS | ONE),
    (
        "PATCH",
        "products?id=gte.{}",
        ('102 {"name":"a"}', '100 {"name":"b"}'),
        {"Prefer": "handling=strict,max-affected=1"},
    ),
    ("PUT", "products?id=eq.{}", ('1000 {"id":1000,"name":"a"}', '1001 {"id":1000,"name":"a"}'), ROWS),
    ("DELETE", "products?id=eq.{}", ("1000 ", "102 ", "7 ", "x "), ROWS),
    ("DELETE", "products?id=eq.{}", ("1000 ", "102 "), {}),
)


async def write(
    served: Served, method: str, path: str, sent: str, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    value, body = sent.split(" ", 1) if "{}" in path else ("", sent)
    response = await served.client.request(
        method, f"/rest/v1/{path.format(value)}", headers=SERVICE | JSON | headers, content=body.encode()
    )
    kept = {name: value for name, value in response.headers.items() if name not in OWN}
    return response.status_code, kept, response.content


async def left(database: asyncpg.Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await database.fetch("select id, name, body from products order by id")]


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, "delete from order_items; delete from orders", MEMOS)


@pytest_asyncio.fixture(loop_scope="module")
async def writable(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve(rest_public_tables="memos")


async def test_a_remembered_write_does_what_a_new_one_does(
    database: asyncpg.Connection, writable: Served
) -> None:
    for method, path, bodies, headers in WRITES:
        for sent in (bodies[0], bodies[0], *bodies):
            outcomes = []
            for more in ({}, {"Cookie": "a=b"}):  # with a cookie it is not looked for
                await database.execute(RESET)
                answer = await write(writable, method, path, sent, headers | more)
                outcomes.append((answer, await left(database)))
            assert outcomes[0] == outcomes[1], (method, path, sent, headers)


async def test_it_does_not_go_the_whole_way(
    database: asyncpg.Connection, writable: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(writable, "POST", "products", '{"id":1000,"name":"a"}', ROWS)

    def refuse(*_: Any) -> Any:
        raise AssertionError("this one was known")

    monkeypatch.setattr(asgi, "parse_request", refuse)
    assert (await write(writable, "POST", "products", '{"id":1001,"name":"b"}', ROWS))[0] == 201
    for of_another_kind in ('{"name":"b","id":1002}', '[{"id":1002,"name":"b"}]', '{"id":1002,"name":{}}'):
        assert (await write(writable, "POST", "products", of_another_kind, ROWS))[0] == 500
    large = f'{{"id":1002,"name":"{"x" * 17_000}"}}'
    assert (await write(writable, "POST", "products", large, ROWS))[0] == 500
    assert (await write(writable, "POST", "products", '{"id":1002,"name":"b"}', {"Prefer": "count=exact"}))[
        0
    ] == 500
    assert [row[0] for row in await left(database)] == [100, 101, 102, 1000, 1001]


async def test_each_caller_writes_as_itself(database: asyncpg.Connection, writable: Served) -> None:
    """Row security holds for whoever sends a write that others made known."""

    async def memo(caller: dict[str, str], row: str) -> int:
        headers = caller | JSON | ROWS
        response = await writable.client.post("/rest/v1/memos", headers=headers, content=row.encode())
        return response.status_code

    for number in (1, 2, 1):
        assert await memo(person(number), f'{{"id":{await count(database)},"text":"mine"}}') == 201
    owners = await database.fetch("select owner from memos order by id")
    assert [str(row[0])[-1] for row in owners] == ["1", "2", "1"]
    assert await memo(person(1), '{"id":50,"text":"no"}') == 400
    assert await memo({}, '{"id":51,"text":"x"}') == 401
    theirs = f'{{"id":52,"text":"x","owner":"{"0" * 8}-0000-0000-0000-{2:012d}"}}'
    assert [await memo(person(number), theirs) for number in (2, 1)] == [201, 403]


async def count(database: asyncpg.Connection) -> int:
    return int(await database.fetchval("select count(*) from memos"))


async def test_what_has_to_be_told_or_undone_goes_the_whole_way(
    database: asyncpg.Connection, connections: Connections
) -> None:
    """Where the end is ROLLBACK, or something runs before, nothing is remembered."""
    await database.execute(
        """create function before() returns void language plpgsql as $$ begin
               perform set_config('response.headers', '[{"X-Seen": "yes"}]', true); end $$"""
    )
    async with serving(
        connections, rest_pre_request="before", rest_tx_end="rollback-allow-override"
    ) as served:
        for number in (1000, 1001):
            status, headers, _ = await write(served, "POST", "products", f'{{"id":{number},"name":"a"}}', {})
            assert (status, headers["x-seen"]) == (201, "yes")
    assert [row[0] for row in await left(database)] == [100, 101, 102]
