"""The example `storefront`: its size, who sees what, and what ordering does."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from monohull.kernel.settings import read_project

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROJECT = Path(__file__).parents[3] / "examples" / "storefront"
ADA, GRACE = (user["id"] for user in read_project(PROJECT)["seed"]["users"])
CUSTOMER = {"sub": ADA, "role": "authenticated"}
STAFF = {"sub": GRACE, "role": "authenticated", "app_metadata": {"role": "staff"}}
ANON = {"role": "anon"}


@asynccontextmanager
async def acting_as(shop: asyncpg.Connection[Any], claims: dict[str, Any]) -> AsyncIterator[None]:
    """Run the block as a data request would, and undo what it did."""
    transaction = shop.transaction()
    await transaction.start()
    try:
        await shop.execute(f"set local role {claims['role']}")
        await shop.execute("select set_config('request.jwt.claims', $1, true)", json.dumps(claims))
        yield
    finally:
        await transaction.rollback()


async def count(shop: asyncpg.Connection[Any], table: str) -> int:
    found: int = await shop.fetchval(f"select count(*) from public.{table}")
    return found


async def counts(shop: asyncpg.Connection[Any], claims: dict[str, Any]) -> dict[str, int]:
    tables = ("customers", "products", "orders", "order_items", "reviews", "product_ratings")
    async with acting_as(shop, claims):
        return {table: await count(shop, table) for table in tables}


async def test_everybody_sees_what_is_theirs(shop: asyncpg.Connection[Any]) -> None:
    assert await count(shop, "order_items") == 120_269
    everything = {"customers": 2000, "products": 400, "orders": 40_000, "order_items": 120_269}
    shelf = {"products": 384, "reviews": 13_989, "product_ratings": 384}
    assert await counts(shop, STAFF) == {**shelf, **everything}
    assert await counts(shop, CUSTOMER) == {**shelf, "customers": 1, "orders": 23, "order_items": 70}
    assert await counts(shop, ANON) == {**shelf, "customers": 0, "orders": 0, "order_items": 0}
    stranger = {"sub": "00000000-0000-4000-8000-000000000000", "role": "authenticated"}
    assert await counts(shop, stranger) == {**shelf, "customers": 0, "orders": 0, "order_items": 0}


async def test_metadata_that_users_set_themselves_makes_nobody_staff(shop: asyncpg.Connection[Any]) -> None:
    claims = {**CUSTOMER, "user_metadata": {"role": "staff"}}
    assert (await counts(shop, claims))["orders"] == 23


async def test_an_order_takes_stock_and_fixes_prices(shop: asyncpg.Connection[Any]) -> None:
    stock, price = await shop.fetchrow("select stock, price from public.products where id = 1")
    async with acting_as(shop, CUSTOMER):
        items = '[{"product_id": 1, "quantity": 2}, {"product_id": 1, "quantity": 1}]'
        order = await shop.fetchval("select (public.place_order($1, 'ring twice')).id", items)
        assert await shop.fetchval("select public.order_total($1)", order) == 3 * price
        assert await shop.fetchval("select stock from public.products where id = 1") == stock - 3
    async with acting_as(shop, ANON):
        assert await shop.fetchval("select public.order_total(1)") == 0


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("[]", "at least one item"),
        ("{}", "at least one item"),
        ('[{"product_id": 25, "quantity": 1}]', "product 25 is not available"),
        ('[{"product_id": 1, "quantity": -1}]', "product 1 is not available in quantity -1"),
        ('[{"product_id": 1, "quantity": 100000}]', "not available"),
        ('[{"product_id": 999999, "quantity": 1}]', "not available"),
    ],
)
async def test_orders_that_cannot_be_are_refused(
    shop: asyncpg.Connection[Any], items: str, message: str
) -> None:
    async with acting_as(shop, CUSTOMER):
        with pytest.raises(asyncpg.PostgresError, match=message):
            await shop.execute("select public.place_order($1)", items)


@pytest.mark.parametrize("claims", [ANON, STAFF], ids=["anon", "staff"])
async def test_only_customers_order(shop: asyncpg.Connection[Any], claims: dict[str, Any]) -> None:
    async with acting_as(shop, claims):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await shop.execute("""select public.place_order('[{"product_id": 1, "quantity": 1}]')""")


@pytest.mark.parametrize(
    "statement",
    [
        "insert into public.order_items values (1, 399, 1, 0.01)",
        "insert into public.orders (customer_id) values (1)",
        "insert into public.reviews (product_id, customer_id, rating) values (1, 2, 1)",
        "insert into public.products (sku, name, category, price) values ('SF-X1', 'x', 'x', 1)",
    ],
)
async def test_customers_write_nothing_that_is_not_theirs(
    shop: asyncpg.Connection[Any], statement: str
) -> None:
    async with acting_as(shop, CUSTOMER):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await shop.execute(statement)


async def test_a_customer_reviews_a_product_once(shop: asyncpg.Connection[Any]) -> None:
    async with acting_as(shop, CUSTOMER):
        await shop.execute("delete from public.reviews where customer_id = 1")
        await shop.execute("insert into public.reviews (product_id, customer_id, rating) values (1, 1, 5)")
        with pytest.raises(asyncpg.UniqueViolationError):
            await shop.execute(
                "insert into public.reviews (product_id, customer_id, rating) values (1, 1, 4)"
            )


async def test_every_foreign_key_is_indexed_and_every_table_described(
    shop: asyncpg.Connection[Any],
) -> None:
    bare = await shop.fetch(
        "select c.conname from pg_constraint c "
        "where c.contype = 'f' and c.connamespace = 'public'::regnamespace "
        "and not exists (select from pg_index i where i.indrelid = c.conrelid "
        "and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)"
    )
    assert bare == []
    silent = await shop.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace "
        "and relkind in ('r', 'v') and obj_description(oid) is null"
    )
    assert silent == []


async def test_a_customers_orders_come_by_index(shop: asyncpg.Connection[Any]) -> None:
    async with acting_as(shop, CUSTOMER):
        plan = await shop.fetch(
            "explain select * from public.orders where customer_id = 1 order by placed_at desc limit 10"
        )
    assert any("orders_customer_id_placed_at_idx" in line[0] for line in plan)
