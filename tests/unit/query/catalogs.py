"""A small shop as a catalog, built by hand: what the planner's tests look things up in."""

from __future__ import annotations

from modules.query.catalog import Catalog, ForeignKey, Relation, RelationKind
from modules.query.columns import Key, TableColumn
from modules.query.relationships import derive_relationships
from modules.query.steps import at_once


def relation(  # noqa: PLR0913 each says one thing about it
    name: str,
    columns: str,
    *,
    kind: RelationKind = "table",
    schema: str = "public",
    key: str = "id",
    unique: str = "",
    comment: str | None = None,
    rls: bool = True,
    invoker: bool = False,
    bases: tuple[Key, ...] = (),
    keeps_keys: bool = False,
) -> Relation:
    """``columns`` as ``id:int4 name:text``; ``key`` and ``unique`` as names joined by commas."""
    typed = dict(column.split(":") for column in columns.split())
    uniques = {frozenset(one.split(",")) for one in (key, unique) if one}
    return Relation(
        schema,
        name,
        kind,
        {n: TableColumn(n, t, t, True, False, False, None) for n, t in typed.items()},
        tuple(key.split(",")) if key else (),
        frozenset(uniques),
        comment,
        rls,
        invoker,
        bases=bases,
        identities=frozenset(uniques if keeps_keys else ()),
    )


def foreign_key(name: str, source: str, column: str, target: str, target_column: str = "id") -> ForeignKey:
    return ForeignKey(name, ("public", source), ("public", target), ((column, target_column),))


def catalog(
    relations: list[Relation], *keys: ForeignKey, bypassing: tuple[str, ...] = ("postgres",)
) -> Catalog:
    by_key = {one.key: one for one in relations}
    return Catalog(by_key, at_once(derive_relationships(by_key, keys)), frozenset(bypassing))


def shop() -> Catalog:
    return catalog(
        [
            relation("customers", "id:int4 name:text profile:jsonb tags:_text notes:tsvector"),
            relation("orders", "id:int4 customer_id:int4 billing_id:int4 shipping_id:int4 total:numeric"),
            relation("order_items", "order_id:int4 product_id:int4 quantity:int4", key="order_id,product_id"),
            relation("products", "id:int4 name:text parent_id:int4 attributes:json"),
            relation("stock", "product_id:int4 amount:int4", key="product_id"),
            relation("addresses", "id:int4 street:text"),
            relation("secrets", "id:int4 customer_id:int4", rls=False),
        ],
        foreign_key("orders_customer_id_fkey", "orders", "customer_id", "customers"),
        foreign_key("orders_billing_id_fkey", "orders", "billing_id", "addresses"),
        foreign_key("orders_shipping_id_fkey", "orders", "shipping_id", "addresses"),
        foreign_key("items_order_fkey", "order_items", "order_id", "orders"),
        foreign_key("items_product_fkey", "order_items", "product_id", "products"),
        foreign_key("products_parent_id_fkey", "products", "parent_id", "products"),
        foreign_key("stock_product_fkey", "stock", "product_id", "products"),
        foreign_key("secrets_customer_fkey", "secrets", "customer_id", "customers"),
    )
