"""An INSERT of one row answers with it at once, as one that reads its rows again would.

An object in the body is such a row; the same in an array of one is read again, so
both have to answer alike. What can leave the row out is told from the catalog,
and what this does not know of yet loses nothing but its own headers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from modules.query import Compiler, Exposure, Mutation, live_catalog
from modules.rest.parameters import parse_parameters
from modules.rest.ranges import WHOLE
from tests.integration.rest.test_reading import SERVICE
from tests.integration.rest.test_reloading import SILENCE
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from modules.query import Returning
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKSHOP: Final = (Path(__file__).parent / "workshop.sql").read_text(encoding="utf-8")
OF_ALL_KINDS: Final = """
    comment on table closed is '@public';
    create table "Odd ""one" (id int primary key, "Odd ""one" text, "a.b" text default 'c', gone int);
    alter table "Odd ""one" drop column gone;
    comment on table "Odd ""one" is '@public';
    create function price_with_tax(tools) returns numeric language sql stable as $$ select $1.price * 1.2 $$;
"""
ROWS: Final = {"Prefer": "return=representation"}
ONE: Final = {**ROWS, "Accept": "application/vnd.pgrst.object+json"}
BARE: Final = {**ROWS, "Accept": "application/vnd.pgrst.array+json;nulls=stripped"}

TOOL: Final = (
    '{"id": 50, "name": "awl", "doc": {"b": [1.50, null]}, "raw": {"z": 1, "a": 2}, "tags": ["x", "y"]}'
)
PAINT: Final = '{"id": 1, "colour": "#000001", "litres": 2}'

REFUSED: Final = {'{"id": 51, "name": "hammer"}': 409, '{"id": 51, "name": "axe", "price": -1}': 400}

SAME: Final = [
    ("tools", TOOL, ROWS),
    ("tools", TOOL, ONE),
    ("tools", TOOL, BARE),
    ("tools", TOOL, {**ONE, "Accept": "application/vnd.pgrst.object+json;nulls=stripped"}),
    ("tools", TOOL, {**ROWS, "Accept": "text/csv"}),
    ("tools", TOOL, {"Prefer": "return=representation,count=exact"}),
    ("tools", TOOL, {"Prefer": "return=headers-only"}),
    ("tools", TOOL, {"Prefer": "return=minimal,count=exact"}),
    ("tools", TOOL, {}),
    ("tools", TOOL, {"Prefer": "return=representation,handling=strict,max-affected=1"}),
    ("tools", TOOL, {"Prefer": "return=representation,handling=strict,max-affected=0"}),
    ("tools", TOOL, {"Prefer": "return=representation,resolution=merge-duplicates"}),
    ("tools?select=id,who:name,doc->b,raw->>z,price::text,label", TOOL, ROWS),
    ("tools?select=id,price_with_tax", TOOL, ROWS),
    ("tools?select=*,price_with_tax", TOOL, ROWS),
    ("tools?select=id,parent:tools!parent_id(name),parts(no)", TOOL, ROWS),
    ("tools?select=count()", TOOL, ROWS),
    ("tools?select=*&order=name.desc", TOOL, ROWS),
    ("tools?select=", TOOL, ROWS),
    (
        "tools?columns=id,name,price&select=id,price,size",
        TOOL,
        {"Prefer": "return=representation,missing=default"},
    ),
    ("tools", '{"id": 51, "name": "hammer"}', ROWS),
    ("tools", '{"id": 51, "name": "axe", "price": -1}', ONE),
    ("paints", PAINT, ROWS),
    ("paints?select=colour,litres", PAINT, ROWS),
    ("parts", '{"tool_id": 3, "no": 1}', {"Prefer": "return=headers-only"}),
    ("logs", '{"line": "a \\"b\\" \u00e9"}', ROWS),
    ("logs", '{"line": "a"}', {"Prefer": "return=headers-only"}),
    ("cheap_tools", '{"id": 50, "name": "awl", "price": 2}', ROWS),
    ("closed", '{"id": 7}', ROWS),
    ('Odd%20"one', '{"id": 7, "Odd \\"one": "x"}', ROWS),
    ('Odd%20"one?select=id,"a.b"', '{"id": 7}', ROWS),
]

LEAVE_OUT: Final = """
    create function leave_out() returns trigger language plpgsql as $$ begin
        perform set_config('response.headers', '[{"x-left-out": "yes"}]', true);
        return null;
    end $$;
    create trigger leave_out before insert on logs for each row execute function leave_out();
"""


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, WORKSHOP, OF_ALL_KINDS)


async def post(served: Served, path: str, body: str, headers: dict[str, str]) -> httpx.Response:
    given = {**SERVICE, "Content-Type": "application/json", **headers}
    return await served.client.post(f"/rest/v1/{path}", content=body.encode(), headers=given)


def heard(answer: httpx.Response) -> tuple[int, dict[str, str], str]:
    known = ("content-type", "content-range", "location", "preference-applied")
    return answer.status_code, {k: v for k, v in answer.headers.items() if k in known}, answer.text


@pytest.mark.parametrize(("path", "body", "headers"), SAME)
async def test_an_object_is_answered_as_an_array_of_one_is(
    shop: Served, database: asyncpg.Connection, path: str, body: str, headers: dict[str, str]
) -> None:
    said: list[Any] = []
    for content in (body, f"[{body}]", body, f"[{body}]"):  # the second time as known ones
        said.append(heard(await post(shop, path, content, headers)))
        await database.execute("delete from tools where id >= 50; delete from paints; delete from logs")
        await database.execute(
            'delete from closed; delete from "Odd ""one"; delete from parts where tool_id = 3'
        )
    assert said[0] == said[1]
    assert said[2:] == said[:2]
    assert said[0][0] == REFUSED.get(body, 201)


@pytest.mark.parametrize(
    ("prefer", "is_list", "begins"),
    [
        ("representation", False, "INSERT INTO "),
        ("minimal", False, "INSERT INTO "),
        ("representation", True, "WITH "),
        ("minimal", True, "WITH "),
    ],
)
async def test_an_object_alone_goes_without_a_common_table_expression(
    shop: Served, prefer: Returning, is_list: bool, begins: str
) -> None:
    whole = parse_parameters(b"", range_page=WHOLE, max_rows=None).selection
    asked = Mutation("insert", "public", "logs", whole, prefer, body=0, columns=("line",), is_list=is_list)
    compiled = Compiler(live_catalog(shop.runtime).current(), Exposure(mode="grants")).compile(
        asked, role="anon", anonymous=True
    )
    assert compiled.statement.text.startswith(begins)


def known(served: Served) -> bool:
    relation = live_catalog(served.runtime).current().find("public", "logs")
    assert relation is not None
    return relation.returns_inserted


async def test_a_trigger_may_leave_the_row_out(shop: Served, database: asyncpg.Connection) -> None:
    assert known(shop)
    await database.execute(LEAVE_OUT)
    await eventually(lambda: not known(shop))
    for _ in range(2):
        answer = await post(shop, "logs", '{"line": "a"}', ROWS)
        assert (answer.status_code, answer.text, answer.headers["x-left-out"]) == (201, "[]", "yes")
        answer = await post(shop, "logs", '{"line": "a"}', ONE)
        assert (answer.status_code, answer.json()["code"]) == (406, "PGRST116")


@pytest.mark.parametrize("is_known", [False, True])
async def test_so_may_one_that_the_catalog_does_not_know_of(
    shop: Served, database: asyncpg.Connection, is_known: bool
) -> None:
    wishes: tuple[dict[str, str], ...] = (ROWS, ONE, {}, {"Prefer": "return=headers-only"})
    if is_known:
        for headers in wishes:
            assert (await post(shop, "logs", '{"line": "b"}', headers)).status_code == 201
    await database.execute(SILENCE)
    await database.execute(LEAVE_OUT)
    before = await database.fetchval("select count(*) from logs")
    for _ in range(2):
        said = [heard(await post(shop, "logs", '{"line": "a"}', headers)) for headers in wishes]
        assert [(status, text) for status, _, text in (said[0], *said[2:])] == [
            (201, "[]"),
            (201, ""),
            (201, ""),
        ]
        assert said[1][0] == 406
        assert "The result contains 0 rows" in said[1][2]
    assert await database.fetchval("select count(*) from logs") == before
    assert known(shop)
