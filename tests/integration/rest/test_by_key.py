"""A read by key answers with the row itself, as one that gathers rows would.

Each is asked for in both ways: with a limit, which changes nothing here, rows are
gathered. What a key is is told from the catalog, and if that is wrong by now the
answer is right all the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from modules.query import Compiler, Exposure, Read, live_catalog
from modules.rest.parameters import parse_parameters
from modules.rest.ranges import WHOLE
from tests.integration.rest.conftest import serving
from tests.integration.rest.test_known import person
from tests.integration.rest.test_large_answers import ask
from tests.integration.rest.test_reading import SERVICE
from tests.integration.rest.test_reloading import SILENCE
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from modules.query.ast import Count, Shape
    from monohull.kernel.home import Connections
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB: Final = 1024 * 1024
TABLES: Final = """
    create table things (
        gone int, id int primary key, code text unique, name text, doc jsonb, raw json,
        at timestamptz default 'epoch', tags text[], "Odd ""one" text default 'x'
    );
    alter table things drop column gone;
    create unique index on things (name) where name <> 'b';
    insert into things (id, code, name, doc, raw, tags) values
        (1, 'one', 'a "quoted" é', '{"b": [1.50, null]}', '{"z" : 1,  "a": null}', '{x,y}'),
        (2, 'two', 'b', null, '[1 , {"a":2}]', '{}'), (3, null, 'b', 'null', 'null', null);
    create table parts (
        thing_id int references things, no int, note text, primary key (thing_id, no)
    );
    insert into parts values (1, 1, 'first'), (1, 2, null), (2, 1, 'other');
    create table boxes (id int primary key, thing_id int references things);
    insert into boxes values (1, 1), (2, null);
    create view shown as select id, name from things;
    create table parents (id int primary key, name text);
    create table children () inherits (parents);
    insert into parents values (1, 'a');
    insert into children values (1, 'b');
    create table measured (id int, day date, value int, primary key (id, day)) partition by range (day);
    create table measured_then partition of measured for values from ('2020-01-01') to ('2021-01-01');
    insert into measured values (1, '2020-02-03', 5);
    create table late (id int primary key deferrable initially deferred, name text);
    insert into late values (1, 'a');
    create table owned (id int primary key, owner uuid);
    insert into owned values (1, '00000000-0000-0000-0000-000000000001');
    alter table owned enable row level security;
    create policy own on owned using (owner = auth.uid());
    create table large (id int primary key, filler text);
    insert into large values (1, repeat('é', 50000)), (2, repeat('x', 2097152));
    create table lost (id int primary key, name text, filler text);
    insert into lost values (1, 'a "b"', ''), (3, 'a', '');
    create function label(things) returns text language sql stable as $$ select 'thing ' || $1.id $$;
    create function said(things) returns text language plpgsql stable as $$ begin
        perform set_config('response.headers', '[{"x-said": "yes"}]', true);
        return 'so';
    end $$;
    create function before() returns void language plpgsql as $$ begin
        perform set_config('response.headers', '[{"x-before": "yes"}]', true);
    end $$;
"""
ONE: Final = {"Accept": "application/vnd.pgrst.object+json"}
BARE: Final = {"Accept": "application/vnd.pgrst.array+json;nulls=stripped"}
ONE_BARE: Final = {"Accept": "application/vnd.pgrst.object+json;nulls=stripped"}
CSV: Final = {"Accept": "text/csv"}
COUNTED: Final = {"Prefer": "count=exact"}
OWNER: Final = person(1)
OTHER: Final = person(2)

BY_KEY: Final = [
    ("things?id=eq.1", {}),
    ("things?id=eq.1", ONE),
    ("things?id=eq.9", {}),
    ("things?id=eq.9", ONE),
    ("things?id=eq.no", {}),
    ("things?id=eq.1&name=eq.b", {}),
    ("things?id=eq.2&name=eq.b&tags=not.is.null", ONE),
    ("things?id=eq.1&id=eq.2", {}),
    ("things?code=eq.two&select=id,who:name,doc->b,raw,at", {}),
    ("things?code=eq.two&select=id,raw->0,name::text", ONE),
    ("things?id=eq.3", ONE),
    ("things?id=eq.3&select=id,id,doc", {}),
    ("things?id=eq.1&order=name.desc", {}),
    ("things?id=eq.1&select=id,parts(no,note)&parts.order=no", {}),
    ("things?id=eq.3&select=id,parts(no,note)", ONE),
    ("things?id=eq.1&select=id,parts!inner(no)&parts.no=eq.2", {}),
    ("things?id=eq.3&select=id,parts!inner(no)", ONE),
    ("things?id=eq.1&select=id,...parts(no)&parts.order=no", {}),
    ("things?id=eq.1&select=id,parts(count())", {}),
    ("things?id=eq.3&select=id,parts(no)&parts=is.null", {}),
    ("boxes?id=eq.1&select=id,things(*)", ONE),
    ("boxes?id=eq.2&select=id,things(*)", {}),
    ("boxes?id=eq.1&select=id,...things(name,parts(no))", {}),
    ("boxes?id=eq.2&select=id,things!inner(name)", ONE),
    ("parts?thing_id=eq.1&no=eq.2", {}),
    ("parts?no=eq.1&thing_id=eq.2&select=note,things(name)", ONE),
    ("measured?id=eq.1&day=eq.2020-02-03", {}),
    ("measured?id=eq.1&day=eq.2019-02-03", ONE),
    ("owned?id=eq.1", OWNER),
    ("owned?id=eq.1", OTHER),
    ("owned?id=eq.1", {**OTHER, **ONE}),
    ("large?id=eq.1", {}),
    ("large?id=eq.1", ONE),
    ("large?id=eq.2", {}),
    ("large?id=eq.2", ONE),
]
GATHERED: Final = [
    ("things?id=in.(1)", {}),
    ("things?id=not.eq.1", {}),
    ("things?id=eq(any).{1,2}", {}),
    ("things?or=(id.eq.1,id.eq.2)", {}),
    ("things?name=eq.b", {}),
    ("things?doc->b=eq.1", {}),
    ("things?id=gt.1", {}),
    ("things?id=eq.1&select=", {}),
    ("things?id=eq.1&select=count()", {}),
    ("things?id=eq.1&select=id,label", {}),
    ("things?id=eq.1&select=id,said", {}),
    ("things?id=eq.1&label=eq.x", {}),
    ("things?id=eq.1", BARE),
    ("things?id=eq.9", ONE_BARE),
    ("things?id=eq.1", CSV),
    ("things?id=eq.1", COUNTED),
    ("things?id=eq.9", COUNTED),
    ("parts?thing_id=eq.1", {}),
    ("measured?id=eq.1", {}),
    ("shown?id=eq.1", {}),
    ("parents?id=eq.1", {}),
    ("parents?id=eq.1", ONE),
    ("late?id=eq.1", {}),
]


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    return (TABLES,)


async def get(served: Served, path: str, headers: dict[str, str], method: str = "GET") -> httpx.Response:
    return await served.client.request(method, f"/rest/v1/{path}", headers={**SERVICE, **headers})


def heard(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    own = ("x-request-id", "traceparent", "date", "content-location")
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in own}, answer.content


def is_by_key(served: Served, path: str, headers: dict[str, str]) -> bool:
    accept = headers.get("Accept", "")
    shape: Shape = "csv" if accept == "text/csv" else "object" if ".object" in accept else "array"
    count: Count | None = "exact" if headers.get("Prefer") == "count=exact" else None
    relation, _, query = path.partition("?")
    asked = parse_parameters(query.encode(), range_page=WHOLE, max_rows=1000).selection
    read = Read("public", relation, asked, shape, count, "stripped" in accept, 1000)
    compiler = Compiler(live_catalog(served.runtime).current(), Exposure(mode="grants"))
    text = compiler.compile(read, role="service_role", anonymous=False).statement.text
    return text.startswith("SELECT NULL::bigint, 1, ")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("path", "headers"), [*BY_KEY, *GATHERED])
async def test_a_row_is_answered_as_rows_are(
    shop: Served, path: str, headers: dict[str, str], method: str
) -> None:
    said = [heard(await get(shop, path, headers, method)) for _ in range(3)]  # known ones from the second on
    limited = f"{path}&limit=10"
    assert not is_by_key(shop, limited, headers)
    assert said == [heard(await get(shop, limited, headers, method))] * 3
    assert said[0][0] in {200, 400, 406}


@pytest.mark.parametrize(("path", "headers"), [*BY_KEY, *GATHERED])
async def test_which_way_it_goes(shop: Served, path: str, headers: dict[str, str]) -> None:
    assert is_by_key(shop, path, headers) == ((path, headers) in BY_KEY)


async def test_both_rows_of_a_parent_and_its_child(shop: Served) -> None:
    rows = (await get(shop, "parents?id=eq.1", {})).json()
    assert sorted(row["name"] for row in rows) == ["a", "b"]
    assert (await get(shop, "parents?id=eq.1", ONE)).status_code == 406


async def test_a_first_child_is_heard_of(shop: Served, database: asyncpg.Connection) -> None:
    assert is_by_key(shop, "boxes?id=eq.1", {})
    await database.execute(
        "create table more_boxes () inherits (boxes); insert into more_boxes values (1, 2)"
    )
    await eventually(lambda: not is_by_key(shop, "boxes?id=eq.1", {}))
    assert len((await get(shop, "boxes?id=eq.1", {})).json()) == 2


async def test_no_row_is_an_empty_document(shop: Served) -> None:
    for _ in range(2):
        answer = await get(shop, "things?id=eq.9", {})
        assert (answer.status_code, answer.text, answer.headers["content-range"]) == (200, "[]", "*/*")
        answer = await get(shop, "things?id=eq.9", ONE)
        assert (answer.status_code, answer.json()["code"]) == (406, "PGRST116")
        assert "0 rows" in answer.json()["details"]


async def test_it_has_a_version(shop: Served) -> None:
    for path in ("things?id=eq.1", "things?id=eq.9"):
        for headers in ({}, ONE):
            asked = {**headers, "Prefer": "etag"}
            whole, limited = await get(shop, path, asked), await get(shop, f"{path}&limit=10", asked)
            assert heard(whole) == heard(limited)
            if whole.status_code == 200:
                again = await get(shop, path, {**asked, "If-None-Match": whole.headers["etag"]})
                assert again.status_code == 304


async def test_in_a_batch(shop: Served) -> None:
    paths = ("/things?id=eq.1", "/things?id=eq.1&limit=10", "/things?id=eq.9", "/things?id=eq.9&limit=10")
    steps: list[dict[str, Any]] = [{"path": path} for path in paths]
    steps += ({"path": path, "headers": ONE} for path in paths[:2])
    answer = await shop.client.post("/rest/v1/_batch", json=steps, headers=SERVICE)
    assert answer.status_code == 200, answer.text
    said = [(one["status"], one["headers"]["content-range"], one["body"]) for one in answer.json()]
    assert said[::2] == said[1::2]
    assert said[2] == (200, "*/*", [])
    for path in paths[2:]:
        refused = await shop.client.post(
            "/rest/v1/_batch", json=[{"path": path, "headers": ONE}], headers=SERVICE
        )
        assert (refused.status_code, refused.json()["code"]) == (406, "PGRST116")


async def test_what_runs_before_has_its_say(connections: Connections, shop: Served) -> None:
    assert is_by_key(shop, "things?id=eq.9", {})
    async with serving(connections, rest_pre_request="before") as served:
        for path in ("things?id=eq.1", "things?id=eq.9", "things?id=eq.9&limit=10"):
            answer = await get(served, path, {})
            assert (answer.status_code, answer.headers["x-before"]) == (200, "yes")


async def test_a_ceiling_of_no_rows_holds(connections: Connections, shop: Served) -> None:
    assert (await get(shop, "things?id=eq.1", {})).json()[0]["id"] == 1
    async with serving(connections, rest_max_rows="0") as served:
        assert (await get(served, "things?id=eq.1", {})).text == "[]"


async def lose_the_key(database: asyncpg.Connection, rows: str) -> None:
    await database.execute(SILENCE)
    await database.execute(f"alter table lost drop constraint lost_pkey; insert into lost values {rows}")


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_key_that_is_none_any_more(
    shop: Served, database: asyncpg.Connection, is_known: bool
) -> None:
    if is_known:
        for headers in ({}, ONE):
            assert (await get(shop, "lost?id=eq.3", headers)).status_code == 200
    await lose_the_key(database, "(1, null, 'x'), (1, ', [é]', 'y')")
    for _ in range(2):
        for headers in ({}, ONE):
            said = heard(await get(shop, "lost?id=eq.1", headers))
            assert said == heard(await get(shop, "lost?id=eq.1&limit=10", headers))
            assert said[0] == (406 if headers else 200)
        assert json.loads((await get(shop, "lost?id=eq.1&order=filler", {})).content)[2]["name"] == ", [é]"
    assert is_by_key(shop, "lost?id=eq.1", {})


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("shape", [{}, ONE])
async def test_a_second_row_that_is_large(
    shop: Served, database: asyncpg.Connection, is_known: bool, shape: dict[str, str]
) -> None:
    if is_known:
        assert (await get(shop, "lost?id=eq.3", shape)).status_code == 200
    await lose_the_key(database, f"(1, 'b', repeat('x', {2 * MIB}))")
    said = heard(await get(shop, "lost?id=eq.1", shape))
    assert said == heard(await get(shop, "lost?id=eq.1&limit=10", shape))
    assert said[0] == (406 if shape else 200)
    assert is_by_key(shop, "lost?id=eq.1", shape)


@pytest.mark.parametrize("second", ["", "x"])
@pytest.mark.parametrize("is_known", [False, True])
async def test_nothing_is_whole_that_lacks_a_second_row(
    shop: Served, database: asyncpg.Connection, is_known: bool, second: str
) -> None:
    """What is handed out already cannot be taken back, but it has no end."""
    size = 2 * MIB
    filler = f"repeat('{second}', {size})"
    await database.execute(f"insert into lost values (2, 'a', repeat('x', {size}))")
    if is_known:
        whole = await ask(shop, "lost?id=eq.2")
        assert (whole.status, whole.is_whole, len(json.loads(whole.body))) == (200, True, 1)
    await lose_the_key(database, f"(2, 'b', {filler})")
    broken = await ask(shop, "lost?id=eq.2")
    assert (broken.status, broken.is_whole) == (200, False)
    assert len(broken.body) < int(broken.headers["content-length"])
    assert (await get(shop, "lost?id=eq.3", {})).status_code == 200
