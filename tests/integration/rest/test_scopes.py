"""Keys with scopes at the data API: what they lack is refused by name, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.application import service_key
from tests.integration.rest.conftest import serving

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = "/platform/v1/api-keys"
SERVICE = {"apikey": service_key()}
WRITABLE = """
alter table products enable row level security;
create policy everybody on products using (true) with check (true);
alter table order_items enable row level security;
create policy everybody on order_items using (true) with check (true);
create policy everybody on orders using (true) with check (true);
create function shout(word text) returns text language sql immutable as $$ select upper(word) $$;
create function dear() returns setof products language sql stable as $$ select * from products $$;
create function tick() returns int language sql volatile as $$ select 1 $$;
create table "my.table" (id int primary key);
comment on table "my.table" is '@public';
"""


async def key(served: Served, *permissions: str, **wanted: Any) -> dict[str, str]:
    body = {"name": "limited", "permissions": permissions, **wanted}
    answer = await served.client.post(KEYS, json=body, headers=SERVICE)
    assert answer.status_code == 201, answer.text
    return {"apikey": answer.json()["key"]}


async def ask(served: Served, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response:
    return await served.client.request(method, f"/rest/v1/{path}", headers=headers, **more)


async def missing(
    served: Served, method: str, path: str, headers: dict[str, str], **more: Any
) -> list[str] | None:
    """Return the permissions that a refusal names; None when there is none."""
    answer = await ask(served, method, path, headers, **more)
    if answer.status_code < 400:
        return None
    assert answer.status_code == 403, answer.text
    body = answer.json()
    assert body["code"] == "MH103"
    assert answer.headers["proxy-status"] == "PostgREST; error=MH103"
    names: list[str] = body["details"].removeprefix("Missing permissions: ").split(", ")
    assert body["message"] == f"This key lacks the permission {names[0]}"
    return names


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, WRITABLE)


async def test_a_key_that_reads_orders_does_nothing_else(shop: Served) -> None:
    reader = await key(shop, "data.orders:read")
    for _ in range(3):
        assert await missing(shop, "GET", "orders?id=eq.10", reader) is None
        assert await missing(shop, "GET", "orders?id=eq.11", reader) is None
        assert await missing(shop, "GET", "products?id=eq.100", reader) == ["data.products:read"]
    assert await missing(shop, "HEAD", "orders", reader) is None
    assert await missing(shop, "HEAD", "orders", reader, params={"select": "id"}) is None
    assert await missing(shop, "POST", "orders", reader, json={"id": 1}) == ["data.orders:insert"]
    assert await missing(shop, "PATCH", "orders?id=eq.10", reader, json={"total": 1}) == [
        "data.orders:update"
    ]
    assert await missing(shop, "DELETE", "orders?id=eq.10", reader) == ["data.orders:delete"]
    assert await missing(shop, "POST", "rpc/shout", reader, json={"word": "a"}) == ["data.rpc.shout:call"]
    assert await missing(shop, "GET", "rpc/shout?word=a", reader) == ["data.rpc.shout:call"]


async def test_a_known_read_is_not_open_to_a_key_because_another_knew_it(shop: Served) -> None:
    for _ in range(2):
        assert (await ask(shop, "GET", "products?id=eq.100", SERVICE)).status_code == 200
        assert (await ask(shop, "GET", "products?id=eq.100", {})).status_code == 200
    reader = await key(shop, "data.orders:read")
    other = await key(shop, "data.products:read")
    for _ in range(2):
        assert await missing(shop, "GET", "products?id=eq.100", reader) == ["data.products:read"]
        assert await missing(shop, "GET", "products?id=eq.100", other) is None


async def test_what_is_embedded_has_to_be_read_too(shop: Served) -> None:
    reader = await key(shop, "data.orders:read")
    nested = "orders?select=id,order_items(quantity,products(name))"
    assert await missing(shop, "GET", nested, reader) == ["data.order_items:read", "data.products:read"]
    through = "orders?select=id,products(name)"
    assert await missing(shop, "GET", through, reader) == ["data.order_items:read", "data.products:read"]
    most = await key(shop, "data.orders:read", "data.products:read")
    assert await missing(shop, "GET", through, most) == ["data.order_items:read"], "it joins the two"
    whole = await key(shop, "data.orders:read", "data.products:read", "data.order_items:read")
    assert await missing(shop, "GET", through, whole) is None
    assert await missing(shop, "GET", nested, whole) is None


async def test_a_refusal_does_not_tell_what_there_is(shop: Served) -> None:
    reader = await key(shop, "data.orders:read")
    for method, name in (("GET", "nothing"), ("GET", "customers"), ("OPTIONS", "nothing")):
        assert await missing(shop, method, name, reader) == [f"data.{name}:read"]
    for method in ("POST", "OPTIONS"):
        assert await missing(shop, method, "rpc/nothing", reader) == ["data.rpc.nothing:call"]


async def test_writes_that_give_rows_back_need_to_read(database: asyncpg.Connection, shop: Served) -> None:
    writer = await key(shop, "data.products:insert", "data.products:update", "data.products:delete")
    back = {**writer, "Prefer": "return=representation"}
    row = {"id": 7, "name": "New"}
    read = ["data.products:read"]
    assert await missing(shop, "POST", "products", back, json=row) == read
    assert await missing(shop, "PATCH", "products?id=eq.7", back, json={"name": "x"}) == read
    assert await missing(shop, "DELETE", "products?id=eq.7", back) == read
    assert await database.fetchval("select count(*) from products where id = 7") == 0
    assert await missing(shop, "POST", "products", writer, json=row) is None
    assert await missing(shop, "PATCH", "products?id=eq.7", writer, json={"name": "Newer"}) is None
    assert await database.fetchval("select name from products where id = 7") == "Newer"
    assert await missing(shop, "DELETE", "products?id=eq.7", writer) is None
    both = await key(shop, "data.products:*")
    back = {**both, "Prefer": "return=representation"}
    assert await missing(shop, "POST", "products", back, json=row) is None
    embedding = "products?select=id,order_items(quantity)&id=eq.7"
    found = await missing(shop, "PATCH", embedding, back, json={"name": "x"})
    assert found == ["data.order_items:read"]
    assert await database.fetchval("select name from products where id = 7") == "New"


async def test_upserts_insert_and_update(shop: Served) -> None:
    inserter = await key(shop, "data.products:insert")
    row = {"id": 100, "name": "Rope"}
    merging = {**inserter, "Prefer": "resolution=merge-duplicates"}
    assert await missing(shop, "POST", "products", merging, json=row) == ["data.products:update"]
    assert await missing(shop, "PUT", "products?id=eq.100", inserter, json=row) == ["data.products:update"]
    updater = await key(shop, "data.products:update")
    merging = {**updater, "Prefer": "resolution=merge-duplicates"}
    assert await missing(shop, "POST", "products", merging, json=row) == ["data.products:insert"]
    assert await missing(shop, "PUT", "products?id=eq.100", updater, json=row) == ["data.products:insert"]
    neither = await key(shop, "data.orders:read")
    merging = {**neither, "Prefer": "resolution=merge-duplicates,return=representation"}
    assert await missing(shop, "POST", "products", merging, json=row) == [
        "data.products:insert",
        "data.products:update",
        "data.products:read",
    ]
    both = await key(shop, "data.products:insert", "data.products:update")
    assert (
        await missing(shop, "PUT", "products?id=eq.100", both, json={**row, "body": None, "parent_id": None})
        is None
    )


async def test_functions(shop: Served) -> None:
    caller = await key(shop, "data.rpc.dear:call")
    assert await missing(shop, "GET", "rpc/dear?select=name", caller) is None
    found = await missing(shop, "GET", "rpc/dear?select=name,order_items(quantity)", caller)
    assert found == ["data.order_items:read"]
    assert await missing(shop, "GET", "products", caller) == ["data.products:read"]
    all_of_them = await key(shop, "data.rpc.*")
    assert await missing(shop, "POST", "rpc/shout", all_of_them, json={"word": "a"}) is None
    assert await missing(shop, "GET", "products", all_of_them) == ["data.products:read"]


async def test_plans_tell_of_rows_too(shop: Served) -> None:
    reader = await key(shop, "data.orders:read")
    plan = {**reader, "Accept": "application/vnd.pgrst.plan+json"}
    assert await missing(shop, "GET", "products", plan) == ["data.products:read"]


PATTERNS = {
    "data.*": {"orders", "products", "hidden"},
    "*": {"orders", "products", "hidden"},
    "data.public.*": {"orders", "products"},
    "data.orders:*": {"orders"},
    "data.public.orders:read": {"orders"},
    "data.private.*": {"hidden"},
    "data.private.hidden:read": {"hidden"},
    "data.hidden:read": set(),
    "data.orders:insert": set(),
    "api_keys.keys:read": set(),
}


async def test_patterns(database: asyncpg.Connection, connections: Connections) -> None:
    await database.execute(
        "comment on table private.hidden is '@public'; grant usage on schema private to anon, service_role;"
        "grant select on private.hidden to anon, service_role"
    )
    async with serving(connections, rest_schemas="public,private") as served:
        for permission, reached in PATTERNS.items():
            held = await key(served, permission)
            found = {
                name for name in ("orders", "products") if await missing(served, "GET", name, held) is None
            }
            refused = await missing(served, "GET", "hidden", {**held, "Accept-Profile": "private"})
            assert refused in (None, ["data.private.hidden:read"])
            assert found | ({"hidden"} if refused is None else set()) == reached, permission


async def test_who_is_not_limited_stays_so(shop: Served) -> None:
    public = await key(shop, kind="publishable", permissions=None)
    assert await missing(shop, "GET", "products", public) is None
    assert (await ask(shop, "GET", "notes", public)).json()["code"] == "MH100"
    assert await missing(shop, "GET", "notes", SERVICE) is None
    narrow = await key(shop, "data.orders:read", kind="publishable")
    assert await missing(shop, "GET", "products", narrow) == ["data.products:read"]
    nothing = await key(shop)
    assert await missing(shop, "GET", "products", nothing) == ["data.products:read"]


async def test_scopes_open_nothing(shop: Served) -> None:
    """Grants, row security and secure exposure hold as for the role."""
    held = await key(shop, "data.notes:read", "data.customers:read")
    answer = await ask(shop, "GET", "notes", held)
    assert answer.json()["code"] == "MH100"
    assert (await ask(shop, "GET", "customers", held)).json() == []


async def test_options_tell_what_the_key_may_do(shop: Served) -> None:
    async def allowed(path: str, held: dict[str, str]) -> str:
        answer = await ask(shop, "OPTIONS", path, held)
        assert answer.status_code == 200, answer.text
        return answer.headers["allow"]

    assert await allowed("products", SERVICE) == "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"
    assert await allowed("products", await key(shop, "data.products:read")) == "OPTIONS,GET,HEAD"
    assert await allowed("products", await key(shop, "data.products:insert")) == "OPTIONS,POST"
    assert await allowed("products", await key(shop, "data.products:update")) == "OPTIONS,PATCH"
    both = await key(shop, "data.products:update", "data.products:insert")
    assert await allowed("products", both) == "OPTIONS,POST,PUT,PATCH"
    assert await allowed("rpc/shout", await key(shop, "data.rpc.shout:call")) == "OPTIONS,GET,HEAD,POST"
    assert await missing(shop, "OPTIONS", "products", await key(shop, "data.orders:read")) == [
        "data.products:read"
    ]


async def test_the_root_describes_what_the_key_may_do(shop: Served) -> None:
    async def described(held: dict[str, str]) -> dict[str, list[str]]:
        answer = await ask(shop, "GET", "", held)
        assert answer.status_code == 200, answer.text
        paths = answer.json()["paths"]
        return {path: sorted(methods) for path, methods in paths.items() if path != "/"}

    assert len(await described(SERVICE)) > 8
    held = await key(shop, "data.products:read", "data.orders:update", "data.rpc.tick:call")
    assert await described(held) == {"/products": ["get"], "/orders": ["patch"], "/rpc/tick": ["post"]}
    assert await described(await key(shop, "api_keys.keys:read")) == {}


async def test_names_with_signs_in_them(shop: Served) -> None:
    held = await key(shop, "data.my%2Etable:read")
    assert await missing(shop, "GET", "my.table", held) is None
    assert await missing(shop, "POST", "my.table", held, json={"id": 1}) == ["data.my%2Etable:insert"]
    other = await key(shop, "data.my.table:read")
    assert await missing(shop, "GET", "my.table", other) == ["data.my%2Etable:read"]


async def test_what_is_not_there_yet_is_a_warning(shop: Served) -> None:
    async def warnings(*permissions: str) -> list[str]:
        body = {"name": "early", "permissions": permissions}
        found: list[str] = (await shop.client.post(KEYS, json=body, headers=SERVICE)).json()["warnings"]
        return found

    assert await warnings("data.orders:read", "data.public.orders:*", "data.*", "data.rpc.shout:call") == []
    assert await warnings("data.ordrs:read", "data.private.orders:read", "data.rpc.x:call") == [
        "There is no relation ordrs yet; until there is, data.ordrs:read allows nothing.",
        "There is no relation private.orders yet; until there is, data.private.orders:read allows nothing.",
        "There is no function x yet; until there is, data.rpc.x:call allows nothing.",
    ]
    for typed in ("data.orders:reed", "data.orders", "data:*", "date.orders:read"):
        body = {"name": "wrong", "permissions": [typed]}
        answer = await shop.client.post(KEYS, json=body, headers=SERVICE)
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_permission")
