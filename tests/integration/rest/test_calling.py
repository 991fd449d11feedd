"""Functions over the whole application: called, computed, and making media types of their own."""

# a row of a table is read best on one line
# ruff: noqa: E501
from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from monohull.kernel.clock import monotonic_seconds
from tests.integration.rest.conftest import serving
from tests.integration.rest.test_reading import ADA, SERVICE, token
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.home import Connections
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

FUNCTIONS: Final = (Path(__file__).parent / "functions.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, FUNCTIONS)


@pytest.fixture
def functions(shop: Served) -> Served:
    return shop


GETS: Final[list[tuple[str, Any]]] = [
        ("add?a=1&b=2", 3),
        ("add?a=1", 11),
        ("add?a=7&a=1", 11),
        ("many?v=a&v=b", ["a", "b"]),
        ("numbers", [1, 2, 3]),
        ("numbers?limit=1&offset=1", [2]),
        ("pair", {"x": 1, "y": "one"}),
        ("pairs", [{"x": 1, "y": "one"}, {"x": 2, "y": "two"}]),
        ("pairs?x=eq.2&select=y", [{"y": "two"}]),
        ("pairs?select=x.sum()", [{"sum": 3}]),
        ("pairs?order=x.desc&select=x&limit=1", [{"x": 2}]),
        ("no_customer?select=id", {"id": None}),
        ("all_customers?select=id,upper_name&id=eq.1", [{"id": 1, "upper_name": "ADA"}]),
        ("all_customers?select=id&upper_name=eq.ADA", [{"id": 1}]),
        ("all_customers?select=id,orders(id)&orders.order=id&id=lt.3", [{"id": 1, "orders": [{"id": 10}, {"id": 11}]}, {"id": 2, "orders": [{"id": 12}]}]),
        ("all_customers?select=id,purchases(id)&id=eq.2", [{"id": 2, "purchases": [{"id": 12}]}]),
]  # fmt: skip


async def test_calls_by_get(functions: Served) -> None:
    for query, result in GETS:
        response = await functions.client.get(f"/rest/v1/rpc/{query}", headers=SERVICE)
        assert (query, response.status_code, response.json()) == (query, 200, result)


JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
POSTS: Final[list[tuple[str, str, bytes, int, Any]]] = [
        ("add", JSON, b'{"a": 1, "b": 2}', 200, 3),
        ("add", JSON, b'[{"a": 1}, {"a": 5}]', 200, 11),
        ("add?columns=a", JSON, b'{"a": 1, "c": 2}', 200, 11),
        ("add", FORM, b"a=1&b=5", 200, 6),
        ("add", "text/csv", b"a,b\n1,2", 200, 3),
        ("many", FORM, b"v=a&v=b", 200, ["a", "b"]),
        ("many", JSON, b'{"v": ["x"]}', 200, ["x"]),
        ("numbers", JSON, b"", 200, [1, 2, 3]),
        ("pairs?x=eq.2", JSON, b"{}", 200, [{"x": 2, "y": "two"}]),
        ("whole", JSON, b'{"z": 1, "a": 2}', 200, {"z": 1, "a": 2}),
        ("whole", "text/plain", b"hi", 200, "hi"),
]  # fmt: skip


async def test_calls_by_post(functions: Served) -> None:
    for path, content_type, body, status, result in POSTS:
        headers = {**SERVICE, "Content-Type": content_type}
        response = await functions.client.post(f"/rest/v1/rpc/{path}", content=body, headers=headers)
        assert (path, response.status_code, response.json()) == (path, status, result)


async def test_no_result(functions: Served) -> None:
    for method in ("GET", "HEAD", "POST"):
        response = await functions.client.request(method, "/rest/v1/rpc/nothing", headers=SERVICE)
        assert (response.status_code, response.content) == (204, b"")
        assert "content-type" not in response.headers


REFUSALS: Final = [
        ("add?b=1", 404, "PGRST202"),
        ("add?a=x", 400, "22P02"),
        ("pairs?z=eq.1", 400, "42703"),
        ("pairs?select=orders(id)", 400, "PGRST200"),
        ("mark?id=1", 405, "25006"),
        ("pairs?x=not.1", 400, "PGRST100"),
]  # fmt: skip


async def test_refusals(functions: Served) -> None:
    for query, status, code in REFUSALS:
        response = await functions.client.get(f"/rest/v1/rpc/{query}", headers=SERVICE)
        assert (query, response.status_code, response.json()["code"]) == (query, status, code)


async def test_who_may_call_is_for_the_database_to_say(functions: Served) -> None:
    for headers, status in (({}, 401), (token(ADA), 403), (SERVICE, 200)):
        assert (await functions.client.get("/rest/v1/rpc/closed", headers=headers)).status_code == status


async def test_rows_of_a_closed_table_by_a_function_but_not_embedded(functions: Served) -> None:
    assert len((await functions.client.get("/rest/v1/rpc/all_notes")).json()) == 1
    for path in (
        "customers?select=id,secrets(text)",
        "rpc/all_customers?select=id,notes(text)",
        "rpc/all_customers?select=id,secrets(text)",
    ):
        response = await functions.client.get(f"/rest/v1/{path}")
        assert (path, response.status_code, response.json()["code"]) == (path, 401, "MH100")
        assert (await functions.client.get(f"/rest/v1/{path}", headers=SERVICE)).status_code == 200


async def test_called_once_and_undone_when_too_much_came(functions: Served) -> None:
    async def call(path: str, body: object, **headers: str) -> Any:
        return await functions.client.post(
            f"/rest/v1/rpc/{path}", content=json.dumps(body).encode(), headers={**SERVICE, **headers}
        )

    counted = await call("calls?limit=1", {}, Prefer="count=exact")
    assert (counted.json(), counted.headers["content-range"]) == ([1], "0-0/1")
    single = await call("mark", {"id": 1}, Accept="application/vnd.pgrst.object+json")
    assert (single.status_code, single.json()["code"]) == (406, "PGRST116")
    limited = await call("mark", {"id": 1}, Prefer="handling=strict, max-affected=1")
    assert (limited.status_code, limited.json()["code"]) == (400, "PGRST124")
    value = await call("add", {"a": 1}, Prefer="handling=strict, max-affected=1")
    assert (value.status_code, value.json()["code"]) == (400, "PGRST128")
    assert (await functions.client.get("/rest/v1/marks", headers=SERVICE)).json() == []
    assert (await call("mark", {"id": 1})).json() == [{"id": 1}, {"id": 2}]


@pytest.mark.usefixtures("functions")
async def test_a_function_that_the_planner_may_move_is_called_once(connections: Connections) -> None:
    async with serving(connections, rest_max_rows="") as served:
        for method in ("GET", "POST"):
            response = await served.client.request(method, "/rest/v1/rpc/once", headers=SERVICE)
            assert (response.status_code, response.text) == (200, "1")


COMPUTED: Final[list[tuple[str, Any]]] = [
        ("orders?select=id,buyer(name)&id=eq.12", [{"id": 12, "buyer": {"name": "Grace, H."}}]),
        ("orders?select=id,buyer()&order=buyer(name).desc,id&limit=1", [{"id": 12}]),
        ("orders?select=id,...buyer(who:name)&id=eq.12", [{"id": 12, "who": "Grace, H."}]),
        ("customers?select=id,purchases(id)&id=eq.3", [{"id": 3, "purchases": []}]),
        ("customers?select=id,purchases!inner(id)&purchases.total=gt.15", [{"id": 1, "purchases": [{"id": 11}]}]),
        ("customers?select=id,purchases(buyer(name))&id=eq.2", [{"id": 2, "purchases": [{"buyer": {"name": "Grace, H."}}]}]),
        ("customers?select=id,upper_name&upper_name=like.A*", [{"id": 1, "upper_name": "ADA"}]),
        ("orders?select=...buyer(who:name,n:id.count()),total.sum()&order=buyer(who)", [{"who": "Ada", "n": 2, "sum": 29.50}, {"who": "Grace, H.", "n": 1, "sum": 5.00}]),
        ("paints?order=id", [{"id": 1, "color": "#ff"}, {"id": 2, "color": "#1000"}]),
        ("paints?select=id&color=eq.ff", [{"id": 1}]),
        ("paints?select=c:color&color=in.(ff,1000)&order=id", [{"c": "#ff"}, {"c": "#1000"}]),
]  # fmt: skip


async def test_computed(functions: Served) -> None:
    for query, result in COMPUTED:
        response = await functions.client.get(f"/rest/v1/{query}", headers=SERVICE)
        assert (query, response.status_code, response.json()) == (query, 200, result)


MEDIA: Final = [
        ("rpc/dots", "image/x-dots", 200, "image/x-dots", b"\x00\xff."),
        ("rpc/dots", "text/html, */*;q=0.1", 200, "application/json; charset=utf-8", b'"\\\\x00ff2e"'),
        ("rpc/dots", "text/html", 406, None, None),
        ("customers?order=id", "application/x-names", 200, "application/x-names", b"Ada;Grace, H.;Linus;"),
        ("rpc/all_customers?id=eq.1", "application/x-names", 200, "application/x-names", b"Ada;"),
        ("customers?select=name", "application/x-names", 406, None, None),
        ("orders", "application/x-names", 406, None, None),
        ("nowhere", "application/x-names", 404, None, None),
        ("customers?select=id,orders(id)&id=eq.2", "text/csv", 200, "text/csv; charset=utf-8", b'id,orders\n2,"[{""id"": 12}]"'),
        ("customers", "application/geo+json", 400, None, None),
]  # fmt: skip


async def test_media_types(functions: Served) -> None:
    for path, accept, status, content_type, body in MEDIA:
        response = await functions.client.get(f"/rest/v1/{path}", headers={**SERVICE, "Accept": accept})
        assert (path, accept, response.status_code) == (path, accept, status)
        if content_type is not None:
            assert (response.headers["content-type"], response.content) == (content_type, body)


async def test_a_new_function_is_found_at_once(functions: Served, database: asyncpg.Connection) -> None:
    assert (await functions.client.get("/rest/v1/rpc/fresh", headers=SERVICE)).status_code == 404
    await database.execute("create function fresh() returns int language sql as 'select 5'")
    await database.execute("notify pgrst, 'reload schema'")
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    while (response := await functions.client.get("/rest/v1/rpc/fresh", headers=SERVICE)).status_code != 200:
        assert monotonic_seconds() < deadline
        await asyncio.sleep(0.05)
    assert response.json() == 5
