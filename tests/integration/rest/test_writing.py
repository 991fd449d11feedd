"""Writes over the whole application: the wire as tables."""

# a row of a table is read best on one line
# ruff: noqa: E501
from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.rest.conftest import serving
from tests.integration.rest.test_reading import ADA, SERVICE, token

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKSHOP: Final = (Path(__file__).parent / "workshop.sql").read_text(encoding="utf-8")
ROWS: Final = {"Prefer": "return=representation"}
GRACE: Final = "00000000-0000-0000-0000-000000000002"


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, WORKSHOP)


@pytest.fixture
def workshop(shop: Served) -> Served:
    return shop


async def send(
    served: Served, method: str, path: str, body: object = None, prefer: str = "", **headers: str
) -> httpx.Response:
    wanted = {**SERVICE, **({"Prefer": prefer} if prefer else {})}
    wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    return await served.client.request(method, f"/rest/v1/{path}", content=content, headers=wanted)


REPRESENTATIONS: Final[list[tuple[str, str, Any, str, int, Any]]] = [
        ("POST", "tools?select=id,name,price,size,label", {"name": "awl"}, "", 201, [{"id": 101, "name": "awl", "price": 1.50, "size": 7, "label": "AWL"}]),
        ("POST", "tools?select=name,price", [{"name": "a", "price": 1}, {"name": "b", "price": 2}], "", 201, [{"name": "a", "price": 1.00}, {"name": "b", "price": 2.00}]),
        ("POST", "tools?select=name,doc,raw,tags,mood", {"name": "a", "doc": {"b": [1]}, "raw": {"z": 1, "a": 2}, "tags": ["x", "y"], "mood": "sad"}, "", 201, [{"name": "a", "doc": {"b": [1]}, "raw": {"z": 1, "a": 2}, "tags": ["x", "y"], "mood": "sad"}]),
        ("POST", "tools?columns=name&select=name,price", [{"name": "a", "price": 5}, {"name": "b", "color": 1}], "", 201, [{"name": "a", "price": 1.50}, {"name": "b", "price": 1.50}]),
        ("POST", "tools?columns=name,price,size&select=name,price,size", [{"name": "a", "price": 5}, {"name": "b", "size": None}], "missing=default", 201, [{"name": "a", "price": 5.00, "size": 7}, {"name": "b", "price": 1.50, "size": None}]),
        ("POST", "tools?columns=id,name&select=id,name", [{"name": "a"}, {"id": 50, "name": "b"}, {"name": "c"}], "missing=default", 201, [{"id": 101, "name": "a"}, {"id": 50, "name": "b"}, {"id": 103, "name": "c"}]),
        ("POST", "cheap_tools?columns=name,price", {"name": "a"}, "missing=default", 201, [{"id": 101, "name": "a", "price": 3.00}]),
        ("POST", "paints?columns=id,colour,litres,raw", [{"id": 1, "colour": "#000001"}, {"id": 2, "litres": 1, "raw": 7}, {"id": 3, "colour": None}], "missing=default", 201, [{"id": 1, "colour": "#000001", "litres": 3, "raw": {"z": 1, "a": 1}}, {"id": 2, "colour": "#0000ff", "litres": 1, "raw": 7}, {"id": 3, "colour": None, "litres": 3, "raw": {"z": 1, "a": 1}}]),
        ("POST", "parts?select=no,tools(name)", {"tool_id": 2, "no": 5}, "", 201, [{"no": 5, "tools": {"name": "saw"}}]),
        ("POST", "logs", [], "", 201, []),
        ("POST", "logs", [{}, {}], "", 201, [{"line": None}, {"line": None}]),
        ("POST", "logs", {}, "", 201, [{"line": None}]),
        ("POST", "logs", {"line": {"b": 1, "a": 2}}, "", 201, [{"line": '{"b": 1, "a": 2}'}]),
        ("POST", "logs?select=line&order=line.desc", [{"line": "a"}, {"line": "b"}], "", 201, [{"line": "b"}, {"line": "a"}]),
        ("POST", "tools?on_conflict=name&select=name,price", [{"name": "saw", "price": 2}, {"name": "x", "price": 3}], "resolution=merge-duplicates", 201, [{"name": "saw", "price": 2.00}, {"name": "x", "price": 3.00}]),
        ("POST", "tools?on_conflict=name&select=name,price", [{"name": "saw", "price": 2}], "resolution=merge-duplicates", 200, [{"name": "saw", "price": 2.00}]),
        ("POST", "tools?on_conflict=name&select=name,price", [{"name": "saw", "price": 2}, {"name": "x", "price": 3}], "resolution=ignore-duplicates", 201, [{"name": "x", "price": 3.00}]),
        ("POST", "parts", [{"tool_id": 1, "no": 1, "note": "new"}], "resolution=merge-duplicates", 200, [{"tool_id": 1, "no": 1, "note": "new"}]),
        ("POST", "logs", [{"line": "no key"}], "resolution=merge-duplicates", 201, [{"line": "no key"}]),
        ("PATCH", "tools?id=eq.2&select=name,price", {"price": 3}, "", 200, [{"name": "saw", "price": 3.00}]),
        ("PATCH", "tools?id=eq.99&select=name", {"price": 3}, "", 200, []),
        ("PATCH", "tools?select=id&order=id.desc", {"price": 3}, "", 200, [{"id": 3}, {"id": 2}, {"id": 1}]),
        ("PATCH", "tools?or=(id.eq.1,name.eq.saw)&select=id,parts(no)&parts.order=no&order=id", {"tags": ["t"]}, "", 200, [{"id": 1, "parts": [{"no": 1}, {"no": 2}]}, {"id": 2, "parts": [{"no": 1}]}]),
        ("PATCH", "tools?id=eq.1&select=price", {}, "", 200, []),
        ("PATCH", "tools?id=eq.1&select=price", [], "", 200, []),
        ("PATCH", "tools?id=eq.1&columns=price,size&select=price,size", {"price": 2}, "missing=default", 200, [{"price": 2.00, "size": 7}]),
        ("PATCH", "tools?id=eq.1&columns=price&select=name,price", {"price": 2, "name": "x"}, "", 200, [{"name": "hammer", "price": 2.00}]),
        ("PATCH", "cheap_tools?id=eq.2", {"price": 2}, "", 200, []),
        ("PATCH", "tools?id=eq.1&select=doc->a", {"doc": {"a": [1]}}, "", 200, [{"a": [1]}]),
        ("DELETE", "parts?tool_id=eq.1&select=note,tools(name)&order=no", None, "", 200, [{"note": "head", "tools": {"name": "hammer"}}, {"note": "handle", "tools": {"name": "hammer"}}]),
        ("DELETE", "parts?tool_id=eq.9", None, "", 200, []),
        ("PUT", "parts?tool_id=eq.1&no=eq.1", {"tool_id": 1, "no": 1, "note": "new"}, "", 200, [{"tool_id": 1, "no": 1, "note": "new"}]),
        ("PUT", "parts?no=eq.9&tool_id=eq.1", {"tool_id": 1, "no": 9, "note": "new"}, "", 201, [{"tool_id": 1, "no": 9, "note": "new"}]),
        ("PUT", "parts?no=eq.9&tool_id=eq.1", [{"tool_id": 1, "no": 9}, {"tool_id": 1, "no": 10}], "", 201, [{"tool_id": 1, "no": 9, "note": None}]),
]  # fmt: skip


async def test_representations(workshop: Served, database: asyncpg.Connection) -> None:
    for method, path, body, prefer, status, rows in REPRESENTATIONS:
        await database.execute("truncate tools, parts, logs restart identity cascade")
        await database.execute(WORKSHOP.partition("enable row level security;")[2].partition(";")[2])
        response = await send(workshop, method, path, body, f"return=representation,{prefer}")
        assert (method, path, response.status_code, response.text and response.json()) == (
            method,
            path,
            status,
            rows,
        )
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert int(response.headers["content-length"]) == len(response.content)


HEADERS: Final[list[tuple[str, str, Any, str, int, dict[str, str]]]] = [
        ("POST", "logs", {"line": "a"}, "", 201, {"content-range": "*/*"}),
        ("POST", "logs", [{"line": "a"}, {"line": "b"}], "count=exact", 201, {"content-range": "*/2", "preference-applied": "count=exact"}),
        ("POST", "parts", {"tool_id": 3, "no": 1}, "return=headers-only", 201, {"location": "/parts?tool_id=eq.3&no=eq.1", "preference-applied": "return=headers-only"}),
        ("POST", "cheap_tools", {"id": 60, "name": "ü"}, "return=headers-only", 201, {"location": "/cheap_tools?id=eq.60", "preference-applied": "return=headers-only"}),
        ("POST", "logs", {"line": "a"}, "return=headers-only,missing=default", 201, {"preference-applied": "missing=default, return=headers-only"}),
        ("PATCH", "tools?id=lt.3", {"price": 1}, "count=exact", 204, {"content-range": "0-1/2", "preference-applied": "count=exact"}),
        ("PATCH", "tools?id=lt.3", {"price": 1}, "return=minimal", 204, {"content-range": "0-1/*", "preference-applied": "return=minimal"}),
        ("DELETE", "parts?tool_id=eq.2", None, "count=exact,handling=strict,max-affected=1", 204, {"content-range": "*/1", "preference-applied": "count=exact, handling=strict, max-affected=1"}),
        ("PUT", "parts?no=eq.1&tool_id=eq.1", {"tool_id": 1, "no": 1}, "", 204, {}),
        ("PUT", "parts?no=eq.8&tool_id=eq.1", {"tool_id": 1, "no": 8}, "", 201, {}),
        ("PUT", "parts?no=eq.1&tool_id=eq.1", {"tool_id": 1, "no": 1}, "return=headers-only", 204, {"preference-applied": "return=headers-only"}),
        ("POST", "tools?on_conflict=name", {"name": "saw"}, "resolution=ignore-duplicates", 201, {"preference-applied": "resolution=ignore-duplicates"}),
        ("POST", "logs", {"line": "x"}, "resolution=merge-duplicates", 201, {}),
]  # fmt: skip


async def test_headers(workshop: Served) -> None:
    for method, path, body, prefer, status, expected in HEADERS:
        response = await send(workshop, method, path, body, prefer)
        found = {
            name: response.headers[name]
            for name in ("content-range", "location", "preference-applied")
            if name in response.headers
        }
        assert (method, path, response.status_code, response.content) == (method, path, status, b"")
        assert found == {**({"content-range": "*/*"} if method == "POST" else {}), **expected}
        assert "content-type" not in response.headers


REFUSALS: Final[list[tuple[str, str, Any, str, int, str, str]]] = [
        ("POST", "tools", b"", "", 400, "PGRST102", "Empty or invalid json"),
        ("POST", "tools", b'{"name":"\xff"}', "", 400, "PGRST102", "Empty or invalid json"),
        ("POST", "tools", [{"name": "a"}, {"price": 1}], "", 400, "PGRST102", "All object keys must match"),
        ("POST", "tools", {"colour": "red"}, "", 400, "PGRST204", "Could not find the 'colour' column of 'tools' in the schema cache"),
        ("POST", "tools?columns=name,colour", {"name": "a"}, "", 400, "PGRST204", "Could not find the 'colour' column of 'tools' in the schema cache"),
        ("POST", "tools?columns=name,,", {"name": "a"}, "", 400, "PGRST100", '"failed to parse columns parameter (name,,)" (line 1, column 6)'),
        ("POST", "tools?columns=", {"name": "a"}, "", 400, "PGRST100", '"failed to parse columns parameter ()" (line 1, column 1)'),
        ("POST", "tools?on_conflict=", {"name": "a"}, "", 400, "PGRST100", '"failed to parse on_conflict parameter ()" (line 1, column 1)'),
        ("POST", "tools?columns=name,price", [3], "missing=default", 400, "22023", "argument of jsonb_to_recordset must be an array of objects"),
        ("POST", "tools?columns=name,price", [[]], "missing=default", 400, "22023", "argument of jsonb_to_recordset must be an array of objects"),
        ("POST", "tools?on_conflict=name", [{"name": "saw"}, {"name": "saw"}], "resolution=merge-duplicates", 400, "21000", "ON CONFLICT DO UPDATE command cannot affect row a second time"),
        ("POST", "nothing", {}, "", 404, "PGRST205", "Could not find the table 'public.nothing' in the schema cache"),
        ("POST", "tools", {"price": 1}, "", 400, "23502", 'null value in column "name" of relation "tools" violates not-null constraint'),
        ("POST", "tools", {"name": "saw"}, "", 409, "23505", 'duplicate key value violates unique constraint "tools_name_key"'),
        ("POST", "parts", {"tool_id": 77, "no": 1}, "", 409, "23503", 'insert or update on table "parts" violates foreign key constraint "parts_tool_id_fkey"'),
        ("POST", "tools", {"name": "a", "price": -1}, "", 400, "23514", 'new row for relation "tools" violates check constraint "tools_price_check"'),
        ("POST", "tools", {"name": "a", "size": -1}, "", 400, "23514", 'value for domain positive violates check constraint "positive_check"'),
        ("POST", "tools", {"name": "a", "price": "x"}, "", 400, "22P02", 'invalid input syntax for type numeric: "x"'),
        ("POST", "tools", {"name": "a", "mood": "mad"}, "", 400, "22P02", 'invalid input value for enum mood: "mad"'),
        ("POST", "tools", {"name": "a\u0000"}, "", 400, "22P05", "unsupported Unicode escape sequence"),
        ("POST", "tools", {"name": "a", "label": "x"}, "", 400, "428C9", 'cannot insert a non-DEFAULT value into column "label"'),
        ("POST", "tools?columns=name", [3], "", 400, "22023", "argument of jsonb_to_recordset must be an array of objects"),
        ("POST", "tools?select=nothing(id)", {"name": "a"}, "", 400, "PGRST200", "Could not find a relationship between 'tools' and 'nothing' in the schema cache"),
        ("POST", "tools?select=nothing", {"name": "a"}, "return=representation", 400, "42703", "column tools.nothing does not exist"),
        ("POST", "tools?on_conflict=price", {"name": "a"}, "resolution=merge-duplicates", 400, "42P10", "there is no unique or exclusion constraint matching the ON CONFLICT specification"),
        ("POST", "tools", {"name": "a"}, "handling=strict,foo", 400, "PGRST122", "Invalid preferences given with handling=strict"),
        ("POST", "tool_totals", {"n": 1}, "", 405, "MH102", "The view 'tool_totals' has no insert"),
        ("PATCH", "tool_totals", {"n": 1}, "", 405, "MH102", "The view 'tool_totals' has no update"),
        ("DELETE", "tool_totals", None, "", 405, "MH102", "The view 'tool_totals' has no delete"),
        ("PATCH", "tools?id=eq.1", {"colour": 1}, "", 400, "PGRST204", "Could not find the 'colour' column of 'tools' in the schema cache"),
        ("PATCH", "tools?colour=eq.1", {"price": 1}, "", 400, "42703", "column tools.colour does not exist"),
        ("PATCH", "tools?price=eq.x", {"price": 1}, "", 400, "22P02", 'invalid input syntax for type numeric: "x"'),
        ("PATCH", "tools?id=foo.1", {"price": 1}, "", 400, "PGRST100", '"failed to parse filter (foo.1)" (line 1, column 1)'),
        ("PATCH", "tools?id=lt.3", {"price": 1}, "handling=strict,max-affected=1", 400, "PGRST124", "Query result exceeds max-affected preference constraint"),
        ("DELETE", "parts", None, "handling=strict,max-affected=1", 400, "PGRST124", "Query result exceeds max-affected preference constraint"),
        ("DELETE", "tools?id=eq.1", None, "", 409, "23503", 'update or delete on table "tools" violates foreign key constraint "parts_tool_id_fkey" on table "parts"'),
        ("PUT", "parts", {"tool_id": 1, "no": 1}, "", 405, "PGRST105", "Filters must include all and only primary key columns with 'eq' operators"),
        ("PUT", "parts?no=eq.1", {"tool_id": 1, "no": 1}, "", 405, "PGRST105", "Filters must include all and only primary key columns with 'eq' operators"),
        ("PUT", "parts?no=eq.1&tool_id=gt.1", {"tool_id": 1, "no": 1}, "", 405, "PGRST105", "Filters must include all and only primary key columns with 'eq' operators"),
        ("PUT", "parts?no=eq.1&no=eq.1", {"tool_id": 1, "no": 1}, "", 405, "PGRST105", "Filters must include all and only primary key columns with 'eq' operators"),
        ("PUT", "logs?line=eq.1", {"line": "1"}, "", 405, "PGRST105", "Filters must include all and only primary key columns with 'eq' operators"),
        ("PUT", "parts?no=eq.1&tool_id=eq.1&limit=1", {"tool_id": 1, "no": 1}, "", 400, "PGRST114", "limit/offset querystring parameters are not allowed for PUT"),
        ("PUT", "parts?no=eq.1&tool_id=eq.1", {"tool_id": 1, "no": 2}, "", 400, "PGRST115", "Payload values do not match URL in primary key column(s)"),
        ("PUT", "parts?no=eq.1&tool_id=eq.1", [], "", 400, "PGRST115", "Payload values do not match URL in primary key column(s)"),
]  # fmt: skip


async def test_refusals_change_nothing(workshop: Served, database: asyncpg.Connection) -> None:
    before = await everything(database)
    for method, path, body, prefer, status, code, message in REFUSALS:
        response = await send(workshop, method, path, body, prefer)
        found = response.json()
        assert (method, path, response.status_code, found["code"], found["message"]) == (
            method,
            path,
            status,
            code,
            message,
        )
        assert response.headers["proxy-status"] == f"PostgREST; error={code}"
    assert await everything(database) == before


async def everything(database: asyncpg.Connection) -> list[Any]:
    return [await database.fetch(f"select * from {name} order by 1, 2") for name in ("tools", "parts")]


async def test_one_object_or_nothing_is_written(workshop: Served, database: asyncpg.Connection) -> None:
    wanted = "application/vnd.pgrst.object+json"
    before = await everything(database)
    for prefer in ("return=representation", "return=minimal", "count=exact"):
        for method, path, body, rows in (
            ("POST", "tools", [{"name": "a"}, {"name": "b"}], 2),
            ("POST", "tools", [], 0),
            ("PATCH", "tools?id=lt.3", {"price": 1}, 2),
            ("DELETE", "parts", None, 3),
        ):
            response = await send(workshop, method, path, body, prefer, Accept=wanted)
            assert (response.status_code, response.json()["code"]) == (406, "PGRST116")
            assert response.json()["details"] == f"The result contains {rows} rows"
    assert await everything(database) == before
    response = await send(
        workshop, "PATCH", "tools?id=eq.1&select=id", {"price": 1}, "return=representation", Accept=wanted
    )
    assert (response.status_code, response.json()) == (200, {"id": 1})
    response = await send(workshop, "POST", "tools", {"name": "a"}, Accept=wanted)
    assert (response.status_code, response.content) == (201, b"")


async def test_other_bodies(workshop: Served) -> None:
    form = await send(
        workshop,
        "POST",
        "tools?select=name,price",
        b"name=a+b&price=2",
        "return=representation",
        Content_Type="application/x-www-form-urlencoded",
    )
    assert (form.status_code, form.json()) == (201, [{"name": "a b", "price": 2.00}])
    csv = await send(
        workshop,
        "POST",
        "tools?select=name,tags",
        b'name,tags\nx,NULL\ny,"{1,2}"\n',
        "return=representation",
        Content_Type="text/csv",
        Accept="text/csv",
    )
    assert (csv.status_code, csv.text) == (201, 'name,tags\nx,\ny,"{1,2}"')
    html = await send(workshop, "POST", "tools", b"<p>", Content_Type="text/html")
    assert (html.status_code, html.json()["message"]) == (400, "Content-Type not acceptable: text/html")


async def test_row_security_decides_who_writes_what(workshop: Served, database: asyncpg.Connection) -> None:
    ada, grace = token(ADA), token(GRACE)
    path = "private_notes?select=id,owner"
    own = await send(workshop, "POST", path, {"id": 1, "note": "x"}, "return=representation", **ada)
    assert (own.status_code, own.json()) == (201, [{"id": 1, "owner": ADA}])
    theirs = await send(workshop, "POST", path, {"id": 2, "owner": ADA}, **grace)
    assert (theirs.status_code, theirs.json()["code"]) == (403, "42501")
    for method, body in (("PATCH", {"note": "mine"}), ("DELETE", None)):
        unseen = await send(workshop, method, "private_notes", body, "return=representation", **grace)
        assert (unseen.status_code, unseen.json()) == (200, [])
    nobody = await workshop.client.post("/rest/v1/private_notes", json={"id": 3})
    assert (nobody.status_code, nobody.json()["code"]) == (401, "42501")
    assert await database.fetchval("select count(*) from private_notes where note = 'x'") == 1


async def test_what_is_closed_is_not_written_either(workshop: Served, database: asyncpg.Connection) -> None:
    for method, path, body in (
        ("POST", "closed", {"id": 1}),
        ("PATCH", "closed", {"id": 1}),
        ("PUT", "closed?id=eq.1", {"id": 1}),
        ("DELETE", "closed", None),
    ):
        for _ in range(2):  # the second time from the cache of statements
            response = await send(workshop, method, path, body, **token(ADA))
            assert (response.status_code, response.json()["code"]) == (403, "MH100")
            response = await workshop.client.request(method, f"/rest/v1/{path}", json=body)
            assert (response.status_code, response.json()["code"]) == (401, "MH100")
    assert await database.fetchval("select count(*) from closed") == 0
    assert (await send(workshop, "POST", "closed", {"id": 1})).status_code == 201
    response = await send(workshop, "POST", "tools?select=id,private_notes(id)", {"name": "a"}, **token(ADA))
    assert response.json()["code"] == "PGRST200"


async def test_reads_cannot_write_and_writes_run_once(workshop: Served, database: asyncpg.Connection) -> None:
    responses = await asyncio.gather(*(send(workshop, "POST", "logs", {"line": str(at)}) for at in range(50)))
    assert {response.status_code for response in responses} == {201}
    assert await database.fetchval("select count(distinct line) from logs") == 50
    assert await database.fetchval("select count(*) from logs") == 50


async def test_many_rows_in_one_body(workshop: Served, database: asyncpg.Connection) -> None:
    rows = [{"line": f"line {at}"} for at in range(20_000)]
    response = await send(workshop, "POST", "logs", rows, "count=exact")
    assert (response.status_code, response.headers["content-range"]) == (201, "*/20000")
    assert await database.fetchval("select count(distinct line) from logs") == 20_000


async def test_transactions_end_as_configured(database: asyncpg.Connection, connections: Connections) -> None:
    await database.execute(
        "alter table parts add constraint later foreign key (no) references tools deferrable initially deferred"
    )
    async with serving(connections, rest_tx_end="rollback-allow-override") as served:
        gone = await send(served, "POST", "logs?select=line", {"line": "a"}, "return=representation")
        assert (gone.status_code, gone.json()) == (201, [{"line": "a"}])
        kept = await send(served, "POST", "logs", {"line": "b"}, "tx=commit")
        assert kept.headers["preference-applied"] == "tx=commit"
        broken = await send(served, "POST", "parts", {"tool_id": 1, "no": 77})
        assert (broken.status_code, broken.json()["code"]) == (409, "23503")
    assert [row["line"] for row in await database.fetch("select line from logs")] == ["b"]
