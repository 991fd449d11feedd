"""Reads that are remembered are answered as if they were new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modules.auth.tokens import TokenCodec
from modules.query.live import live_catalog
from modules.rest import asgi
from tests.application import JWT_SECRET, service_key
from tests.integration.rest.conftest import serving
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.home import Connections
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"Authorization": f"Bearer {service_key()}"}
OWN = ("x-request-id", "traceparent")


def person(number: int) -> dict[str, str]:
    claims = {"sub": f"00000000-0000-0000-0000-{number:012d}", "role": "authenticated", "exp": 4_000_000_000}
    return {
        "Authorization": f"Bearer {TokenCodec(secret=JWT_SECRET).sign(claims | {'aud': 'authenticated'})}"
    }


async def seen(served: Served, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    response = await served.client.get(f"/rest/v1/{path}", headers=headers)
    kept = {name: value for name, value in response.headers.items() if name not in OWN}
    return response.status_code, kept, response.content


async def whole(served: Served, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Ask with a cookie: such a request is not looked for."""
    return await seen(served, path, headers | {"Cookie": "a=b"})


READS: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("products?id=eq.{}", ("100", "101", "7"), {}),
    ("products?id=eq.{}&select=id,name", ("101", "100"), {}),
    ("products?select=name&id=gte.{}&order=id.desc&limit=1", ("100", "102"), {}),
    ("products?id=neq.{}&name=neq.{}", ("100,Hook", "101,Rope"), {}),
    ("products?id=not.eq.{}", ("100", "101"), {}),
    ("products?parent_id=eq.{}&select=id,products(name)", ("100", "1"), {}),
    ("products?select=id,lines:order_items(quantity)&lines.quantity=gt.1&id=eq.{}", ("100", "101"), SERVICE),
    ("customers?select=name,orders(total)&id=eq.{}", ("1", "2", "3"), person(1)),
    ("products?id=eq.{}", ("100", "101"), {"Accept": "text/csv"}),
    ("products?id=eq.{}", ("100", "101", "7"), {"Accept": "application/vnd.pgrst.object+json"}),
    ("products?id=eq.{}", ("100", "x"), {"Accept": "application/vnd.pgrst.object+json;nulls=stripped"}),
    ("products?id=eq.{}", ("100", "101"), {"Prefer": "handling=lenient"}),
    ("products?id=eq.{}", ("100", "not-a-number", "101", "99999999999999999999"), {}),
    ("products?name=eq.{}&or=(id.eq.100,id.eq.101)", ("Rope", "Hook", "x~y.z-1_"), {}),
    ("products", ("", ""), {}),
    ("products?", ("", ""), {}),
    ("products?limit=0", ("", ""), {}),
    ("orders?id=eq.{}&select=*,customers!inner(name)", ("10", "12"), SERVICE),
)


@pytest.mark.parametrize(("path", "values", "headers"), READS)
async def test_a_remembered_read_is_answered_as_a_new_one(
    shop: Served, path: str, values: tuple[str, ...], headers: dict[str, str]
) -> None:
    await seen(shop, path.format(*values[0].split(",")), headers)
    for value in values:
        filled = path.format(*value.split(","))
        assert await seen(shop, filled, headers) == await whole(shop, filled, headers)


async def test_it_does_not_go_the_whole_way(shop: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await seen(shop, "products?id=eq.100", {})

    def refuse(*_: Any) -> Any:
        raise AssertionError("this one was known")

    monkeypatch.setattr(asgi, "parse_request", refuse)
    status, headers, body = await seen(shop, "products?id=eq.101", {})
    assert (status, headers["content-location"]) == (200, "/products?id=eq.101")
    assert b"Hook" in body
    assert (await seen(shop, "products?id=lt.101", {}))[0] == 500, "of another kind"
    assert (await seen(shop, "products?id=eq.%31", {}))[0] == 500, "an encoded value"
    assert (await whole(shop, "products?id=eq.101", {}))[0] == 500


async def test_who_asks_makes_the_difference(shop: Served) -> None:
    """What one role may read does not open it for another, and rows are each caller's own."""
    assert (await seen(shop, "notes?id=eq.1", SERVICE))[0] == 200
    status, _, body = await seen(shop, "notes?id=eq.1", {})
    assert (status, b"MH100" in body) == (401, True)
    assert (await seen(shop, "notes?id=eq.1", person(1)))[0] == 403
    names = [
        (await seen(shop, "customers?select=name&id=gt.0", person(number)))[2] for number in (1, 2, 9, 1)
    ]
    assert names == [b'[{"name":"Ada"}]', b'[{"name":"Grace, H."}]', b"[]", b'[{"name":"Ada"}]']


async def test_a_new_catalog_is_obeyed(database: asyncpg.Connection, shop: Served) -> None:
    live = live_catalog(shop.runtime)
    await seen(shop, "products?id=eq.100", {})
    await database.execute("comment on table products is null; alter table products add column weight int")
    before = live.current()
    live.request_reload()
    await eventually(lambda: live.current() is not before)
    assert (await seen(shop, "products?id=eq.100", {}))[0] == 401, "it is closed now"
    assert b'"weight":null' in (await seen(shop, "products?id=eq.100", SERVICE))[2]


async def test_a_statement_that_changed_under_it_is_parsed_again(
    database: asyncpg.Connection, shop: Served
) -> None:
    for value in (100, 101):
        await seen(shop, f"products?id=eq.{value}", SERVICE)
    await database.execute("alter table products alter column name type varchar(200)")
    assert (await seen(shop, "products?id=eq.100", SERVICE))[0] == 200
    await database.execute("alter table products drop column body")
    assert (await seen(shop, "products?id=eq.100", SERVICE))[0] in (200, 400)


async def test_what_runs_before_each_request_runs_before_these(
    database: asyncpg.Connection, connections: Connections
) -> None:
    await database.execute(
        """create function before() returns void language plpgsql as $$ begin
               perform set_config('response.headers', '[{"X-Seen": "yes"}]', true); end $$"""
    )
    async with serving(connections, rest_pre_request="before") as served:
        for value in (100, 101, 100):
            status, headers, _ = await seen(served, f"products?id=eq.{value}", {})
            assert (status, headers["x-seen"]) == (200, "yes")


async def test_what_a_function_adds_to_the_answer_is_added(
    database: asyncpg.Connection, shop: Served
) -> None:
    await database.execute(
        """create function loud(products) returns text language plpgsql as $$ begin
               perform set_config('response.headers', '[{"X-Loud": "' || $1.id || '"}]', true);
               perform set_config('response.status', '202', true); return 'x'; end $$"""
    )
    for value in (100, 101, 100):
        status, headers, _ = await seen(shop, f"products?select=loud&id=eq.{value}", {})
        assert (status, headers.get("x-loud")) == (202, str(value))
    status, headers, _ = await seen(shop, "products?select=loud&id=eq.7", {})
    assert (status, "x-loud" in headers) == (200, False)
