"""Reads over the whole application: the wire as tables."""

# a row of a table is read best on one line
# ruff: noqa: E501
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from modules.auth.tokens import TokenCodec
from tests.application import JWT_SECRET, Served, service_key
from tests.integration.rest.conftest import serving

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"Authorization": f"Bearer {service_key()}"}
ADA = "00000000-0000-0000-0000-000000000001"


def token(subject: str, role: str = "authenticated") -> dict[str, str]:
    claims = {"sub": subject, "role": role, "exp": 4_000_000_000, "aud": "authenticated"}
    return {"Authorization": f"Bearer {TokenCodec(secret=JWT_SECRET).sign(claims)}"}


ROWS: Final[list[tuple[str, list[Any]]]] = [
        ("customers?select=id&order=id", [{"id": 1}, {"id": 2}, {"id": 3}]),
        ("customers?select=n:name,id::text&id=eq.1", [{"n": "Ada", "id": "1"}]),
        ("customers?select=profile->>city,profile->langs->0&id=eq.1", [{"city": "London", "langs": "en"}]),
        ("customers?select=tags->0&id=eq.1", [{"tags": "new"}]),
        ("customers?select=id&id=in.(1,3)&order=id.desc", [{"id": 3}, {"id": 1}]),
        ("customers?select=id&id=in.()", []),
        ('customers?select=id&name=in.("Grace, H.")', [{"id": 2}]),
        ("customers?select=id&name=like.*a*&order=id", [{"id": 1}, {"id": 2}]),
        ("customers?select=id&name=ilike(any).{a*,l*}&order=id", [{"id": 1}, {"id": 3}]),
        ("customers?select=id&name=imatch.^a", [{"id": 1}]),
        ("customers?select=id&profile=is.null", [{"id": 3}]),
        ("customers?select=id&profile=not.is.null&order=id", [{"id": 1}, {"id": 2}]),
        ("customers?select=id&profile->>city=eq.London", [{"id": 1}]),
        ("customers?select=id&tags=cs.{vip}", [{"id": 1}]),
        ("customers?select=id&tags=ov.{vip,x}", [{"id": 1}]),
        ("customers?select=id&owner=isdistinct.00000000-0000-0000-0000-000000000001&order=id", [{"id": 2}, {"id": 3}]),
        ("customers?select=id&or=(id.eq.1,and(name.eq.Linus,id.gt.2))&order=id", [{"id": 1}, {"id": 3}]),
        ("customers?select=id&not.or=(id.eq.1,id.eq.2)", [{"id": 3}]),
        ("customers?select=id&id=gte.2&id=lt.3", [{"id": 2}]),
        ("customers?select=id&order=profile->>city.desc.nullslast", [{"id": 2}, {"id": 1}, {"id": 3}]),
        ("products?select=id&body=fts(english).hook", [{"id": 101}]),
        ("products?select=id&body=wfts(english).rope -hemp", []),
        ("vacations?select=id&during=cs.[2026-01-05,2026-01-06)", [{"id": 1}]),
        ("vacations?select=id&during=ov.[2026-01-09,2026-02-01)", [{"id": 1}]),
        ("vacations?select=id&during=sl.[2026-02-01,2026-02-03)", [{"id": 1}]),
        ("customers?select=id,orders(id)&id=eq.2", [{"id": 2, "orders": [{"id": 12}]}]),
        ("customers?select=id,orders(id)&id=eq.3", [{"id": 3, "orders": []}]),
        ("orders?select=id,customers(name)&id=eq.12", [{"id": 12, "customers": {"name": "Grace, H."}}]),
        ("orders?select=id,buyer:customer_id(name)&id=eq.12", [{"id": 12, "buyer": {"name": "Grace, H."}}]),
        ("orders?select=id,products(name)&id=eq.10&products.order=name", [{"id": 10, "products": [{"name": "Hook"}, {"name": "Rope"}]}]),
        ("products?select=id,products(id)&id=in.(100,101)&order=id", [{"id": 100, "products": [{"id": 101}]}, {"id": 101, "products": []}]),
        ("products?select=id,parent:parent_id(name)&id=in.(100,101)&order=id", [{"id": 100, "parent": None}, {"id": 101, "parent": {"name": "Rope"}}]),
        ("products?select=id,parts:products!parent_id(id)&id=eq.100", [{"id": 100, "parts": [{"id": 101}]}]),
        ("customers?select=id,orders!inner(id)&orders.total=gt.15", [{"id": 1, "orders": [{"id": 11}]}]),
        ("customers?select=id,orders(id)&orders.limit=1&orders.order=id.desc&id=eq.1", [{"id": 1, "orders": [{"id": 11}]}]),
        ("customers?select=id,orders(id)&orders.offset=1&orders.order=id&id=eq.1", [{"id": 1, "orders": [{"id": 11}]}]),
        ("customers?select=id,orders()&orders=is.null", [{"id": 3}]),
        ("customers?select=id,orders()&orders=not.is.null&order=id", [{"id": 1}, {"id": 2}]),
        ("orders?select=id,customers()&or=(customers.is.null,id.eq.12)", [{"id": 12}]),
        ("orders?select=id,...customers(who:name)&id=eq.12", [{"id": 12, "who": "Grace, H."}]),
        ("customers?select=id,...orders(ids:id)&orders.order=id&order=id", [{"id": 1, "ids": [10, 11]}, {"id": 2, "ids": [12]}, {"id": 3, "ids": []}]),
        ("orders?select=id,customers(name)&order=customers(name).desc,id", [{"id": 12, "customers": {"name": "Grace, H."}}, {"id": 10, "customers": {"name": "Ada"}}, {"id": 11, "customers": {"name": "Ada"}}]),
        ("orders?select=customer_id,total.sum(),n:count()&order=customer_id", [{"customer_id": 1, "sum": 29.50, "n": 2}, {"customer_id": 2, "sum": 5.00, "n": 1}]),
        ("customers?select=n:count(),orders(id)&orders.order=id&id=eq.1", [{"n": 1, "orders": [{"id": 10}, {"id": 11}]}]),
        ("orders?select=n:count(),customers(id,notes(id))&customer_id=eq.1", [{"n": 2, "customers": {"id": 1, "notes": [{"id": 1}]}}]),
        ("customers?select=id,orders(total.max())&order=id&id=eq.1", [{"id": 1, "orders": [{"max": 20.00}]}]),
        ("customers?select=&id=eq.1", [{}]),
    ("customers?select=id,orders(id)&orders.limit=0&orders.limit=1&orders.order=id&id=eq.1", [{"id": 1, "orders": [{"id": 10}]}]),
    ("own_orders?select=id,customers(name)&id=eq.12", [{"id": 12, "customers": {"name": "Grace, H."}}]),
    ("customer_names?select=id,own_orders(id)&id=eq.2", [{"id": 2, "own_orders": [{"id": 12}]}]),
    ("totals?select=total,customer_names(name)&customer_id=eq.2", [{"total": 5.00, "customer_names": {"name": "Grace, H."}}]),
    ("own_orders?select=id,products(id)&id=eq.11", [{"id": 11, "products": [{"id": 100}]}]),
]  # fmt: skip


async def test_rows(shop: Served) -> None:
    for query, rows in ROWS:
        response = await shop.client.get(f"/rest/v1/{query}", headers=SERVICE)
        assert (query, response.status_code, response.json()) == (query, 200, rows)


REFUSALS: Final = [
        ("custmers", 404, "PGRST205", "Could not find the table 'public.custmers' in the schema cache"),
        ("hidden", 404, "PGRST205", "Could not find the table 'public.hidden' in the schema cache"),
        ("customers?select=missing", 400, "42703", "column customers.missing does not exist"),
        ("customers?id=eq.x", 400, "22P02", 'invalid input syntax for type integer: "x"'),
        ("customers?select=id::nope", 400, "42704", 'type "nope" does not exist'),
        ("customers?select=vacations(id)", 400, "PGRST200", "Could not find a relationship between 'customers' and 'vacations' in the schema cache"),
        ("customers?orders.id=eq.1", 400, "PGRST108", "'orders' is not an embedded resource in this request"),
        ("customers?select=orders(id)&order=orders(id)", 400, "PGRST118", "A related order on 'orders' is not possible"),
        ("customers?select=orders(id)&orders=eq.1", 400, "PGRST120", "Bad operator on the 'orders' embedded resource"),
        ("customers?id=1", 400, "PGRST100", '"failed to parse filter (1)" (line 1, column 1)'),
        ("customers?limit=-1", 416, "PGRST103", "Requested range not satisfiable"),
        ("customers?id=eq.%00", 400, "PGRST100", "The query string holds a NUL character, which no text in PostgreSQL can."),
        ("customers?name=eq.%ed%a0%80", 400, "PGRST100", "The query string is not UTF-8."),
        ("a/b/c", 404, "PGRST125", "Invalid path specified in request URL"),
        ("%ff", 404, "PGRST125", "Invalid path specified in request URL"),
        ("rpc/f", 404, "PGRST202", "Could not find the function public.f without parameters in the schema cache"),
]  # fmt: skip


async def test_refusals(shop: Served) -> None:
    for query, status, code, message in REFUSALS:
        response = await shop.client.get(f"/rest/v1/{query}", headers=SERVICE)
        body = response.json()
        assert list(body) == ["code", "details", "hint", "message"]
        assert (query, response.status_code, body["code"], body["message"]) == (query, status, code, message)
        assert response.headers["proxy-status"] == f"PostgREST; error={code}"
        assert response.headers["content-type"] == "application/json; charset=utf-8"


async def test_other_methods(shop: Served) -> None:
    for method, path, code in (
        ("TRACE", "customers", "PGRST117"),
        ("DELETE", "rpc/f", "PGRST101"),
    ):
        response = await shop.client.request(method, f"/rest/v1/{path}", headers=SERVICE)
        assert (response.status_code, response.json()["code"]) == (405, code)
        assert "GET" in response.headers["allow"]


async def test_options(shop: Served) -> None:
    response = await shop.client.options("/rest/v1/customers")
    assert (response.status_code, response.headers["allow"]) == (
        200,
        "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE",
    )


async def test_row_security_decides_who_sees_what(shop: Served) -> None:
    path = "/rest/v1/customers?select=name,orders(id)&orders.order=id"
    assert (await shop.client.get(path)).json() == []
    assert (await shop.client.get(path, headers=token(ADA))).json() == [
        {"name": "Ada", "orders": [{"id": 10}, {"id": 11}]}
    ]
    assert len((await shop.client.get(path, headers=SERVICE)).json()) == 3
    assert (await shop.client.get("/rest/v1/own_orders?select=id", headers=token(ADA))).json() == [
        {"id": 10},
        {"id": 11},
    ]


async def test_closed_relations(shop: Served) -> None:
    for query, name in (
        ("notes", "public.notes"),
        ("customers?select=id,notes(text)", "public.notes"),
        ("customer_names", "public.customer_names"),
        ("own_notes", "public.own_notes"),
        ("totals", "public.totals"),
    ):
        for headers, status in (({}, 401), (token(ADA), 403)):
            response = await shop.client.get(f"/rest/v1/{query}", headers=headers)
            body = response.json()
            assert (query, response.status_code, body["code"]) == (query, status, "MH100")
            assert body["message"].startswith(f"{name} is closed to your role")
            assert "@public" in body["hint"]
            assert "public_tables" in body["hint"]
        assert (await shop.client.get(f"/rest/v1/{query}", headers=SERVICE)).status_code == 200


async def test_hints_do_not_name_closed_relations(shop: Served) -> None:
    assert (await shop.client.get("/rest/v1/notess")).json()["hint"] is None
    assert "notes" in (await shop.client.get("/rest/v1/notess", headers=SERVICE)).json()["hint"]


async def test_declared_public_by_comment(shop: Served) -> None:
    assert len((await shop.client.get("/rest/v1/products")).json()) == 3


async def test_declared_public_by_setting_or_left_to_grants(
    database: asyncpg.Connection, connections: Connections
) -> None:
    async with serving(connections, rest_public_tables="public.notes,totals") as served:
        assert (await served.client.get("/rest/v1/notes")).status_code == 200
        assert (await served.client.get("/rest/v1/totals")).status_code == 200
        assert (await served.client.get("/rest/v1/customer_names")).status_code == 401
    await database.execute("revoke all on products from anon")
    async with serving(connections, rest_expose="grants") as served:
        assert (await served.client.get("/rest/v1/customer_names")).status_code == 200
        refused = await served.client.get("/rest/v1/products")
        assert (refused.status_code, refused.json()["code"]) == (401, "42501")
        assert refused.headers["www-authenticate"] == "Bearer"


async def test_pages_and_counts(shop: Served) -> None:
    async def page(query: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        response = await shop.client.request(
            method, f"/rest/v1/customers?{query}", headers={**SERVICE, **headers}
        )
        return response.status_code, response.headers["content-range"]

    exact = {"Prefer": "count=exact"}
    assert await page("limit=2") == (200, "0-1/*")
    assert await page("limit=2", **exact) == (206, "0-1/3")
    assert await page("limit=2&offset=2", **exact) == (206, "2-2/3")
    assert await page("", **exact) == (200, "0-2/3")
    assert await page("id=eq.9", **exact) == (200, "*/0")
    assert await page("offset=9", **exact) == (416, "*/3")
    assert await page("offset=9") == (200, "*/*")
    assert await page("", Range="1-1", **exact) == (206, "1-1/3")
    assert await page("limit=1", "HEAD", **exact) == (206, "0-0/3")
    assert (await page("", Prefer="count=estimated"))[1] == "0-2/3"
    assert (await page("", Prefer="count=planned"))[1].startswith("0-2/")
    unused = "select=id,orders(id)&orders.id=eq.10&id=gt.0&limit=2&offset=1"
    assert (await page(unused, Prefer="count=planned"))[0] in (200, 206)
    assert await page("select=orders!inner(id)&orders.id=eq.12", **exact) == (200, "0-0/1")


async def test_headers_of_an_answer(shop: Served) -> None:
    response = await shop.client.get("/rest/v1/products?select=id&limit=1", headers={"Prefer": "count=exact"})
    assert response.headers["content-location"] == "/products?limit=1&select=id"
    assert response.headers["preference-applied"] == "count=exact"
    assert response.headers["content-length"] == str(len(response.content))
    assert "content-profile" not in response.headers


async def test_head_has_no_body(shop: Served) -> None:
    response = await shop.client.head("/rest/v1/products")
    assert (response.status_code, response.content) == (200, b"")


async def test_media_types(shop: Served) -> None:
    async def get(query: str, accept: str) -> tuple[int, str]:
        response = await shop.client.get(f"/rest/v1/{query}", headers={"Accept": accept, **SERVICE})
        return response.status_code, response.text

    single = "application/vnd.pgrst.object+json"
    assert await get("products?select=id&id=eq.100", single) == (200, '{"id":100}')
    status, body = await get("products", single)
    assert status == 406
    assert '"details":"The result contains 3 rows"' in body
    assert await get("products?select=id,parent_id&id=eq.100", f"{single};nulls=stripped") == (
        200,
        '{"id":100}',
    )
    assert await get("customers?select=id,name&order=id&limit=2", "text/csv") == (
        200,
        'id,name\n1,Ada\n2,"Grace, H."',
    )
    assert (await get("customers?select=id&limit=0", "text/csv"))[0] == 200
    assert (await get("products", "image/png"))[0] == 406


async def test_credentials_that_do_not_hold(shop: Served) -> None:
    response = await shop.client.get("/rest/v1/products", headers={"Authorization": "Bearer a.b"})
    assert (response.status_code, response.json()["code"]) == (401, "PGRST301")
    assert response.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    missing = await shop.client.get("/rest/v1/products", headers=token(ADA, role="nobody_here"))
    assert (missing.status_code, missing.json()["code"]) == (401, "22023")


@pytest.mark.usefixtures("database")
async def test_a_key_can_be_demanded(connections: Connections) -> None:
    async with serving(connections, rest_api_key_required="true") as served:
        response = await served.client.get("/rest/v1/products")
        assert (response.status_code, response.json()["code"]) == (401, "PGRST302")
        assert (await served.client.get("/rest/v1/products", headers=SERVICE)).status_code == 200


async def test_schemas_by_profile(database: asyncpg.Connection, connections: Connections) -> None:
    await database.execute("grant usage on schema private to anon; grant select on private.hidden to anon")
    await database.execute("comment on table private.hidden is '@public'")
    async with serving(connections, rest_schemas="public,private") as served:
        found = await served.client.get("/rest/v1/hidden", headers={"Accept-Profile": "private"})
        assert (found.status_code, found.headers["content-profile"]) == (200, "private")
        methods = await served.client.options("/rest/v1/hidden", headers={"Accept-Profile": "private"})
        assert methods.headers["allow"] == "OPTIONS,GET,HEAD,POST,PATCH,DELETE"
        for method in ("GET", "OPTIONS"):
            refused = await served.client.request(
                method, "/rest/v1/hidden", headers={"Accept-Profile": "pg_catalog"}
            )
            assert (refused.status_code, refused.json()["code"]) == (406, "PGRST106")


async def test_settings_reach_the_database(database: asyncpg.Connection, connections: Connections) -> None:
    await database.execute(
        """create view asked as select current_setting('request.method') as method, current_setting('request.path') as path,
               current_setting('request.headers')::json ->> 'x-thing' as thing, current_user::text as role,
               current_setting('request.cookies')::json ->> 'a' as cookie, current_setting('transaction_read_only') as ro,
               current_setting('search_path') as search_path, current_setting('timezone') as zone;
           comment on view asked is '@public'"""
    )
    headers = {"X-Thing": "t", "Cookie": "a=1", "Prefer": "timezone=Asia/Tokyo", **token(ADA)}
    async with serving(connections) as served:
        response = await served.client.get("/rest/v1/asked", headers=headers)
    assert response.json() == [
        {
            "method": "GET",
            "path": "/asked",
            "thing": "t",
            "role": "authenticated",
            "cookie": "1",
            "ro": "on",
            "search_path": '"public", "extensions"',
            "zone": "Asia/Tokyo",
        }
    ]


async def test_reads_cannot_write(database: asyncpg.Connection, shop: Served) -> None:
    await database.execute(
        "create function wipe(customers) returns int language sql as 'delete from public.notes returning 1'"
    )
    response = await shop.client.get("/rest/v1/customers?select=wipe", headers=SERVICE)
    assert (response.status_code, response.json()["code"]) == (405, "25006")
