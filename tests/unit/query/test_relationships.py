from __future__ import annotations

import pytest

from modules.query.catalog import Catalog, ForeignKey
from modules.query.errors import RelationshipAmbiguous, RelationshipNotFound
from modules.query.relationships import Among, find_relationship
from tests.unit.query.catalogs import catalog, foreign_key, relation, shop

SHOP = shop()
EVERYWHERE = Among()


def find(
    origin: str, target: str, hint: str | None = None, among: Among = EVERYWHERE, where: Catalog = SHOP
) -> str:
    way = find_relationship(where, ("public", origin), target, hint, among=among)
    return f"{way.cardinality} {way.constraint or (way.junction and way.junction.key[1])}"


@pytest.mark.parametrize(
    ("origin", "target", "hint", "expected"),
    [
        ("orders", "customers", None, "many-to-one orders_customer_id_fkey"),
        ("orders", "customer_id", None, "many-to-one orders_customer_id_fkey"),
        ("orders", "orders_customer_id_fkey", None, "many-to-one orders_customer_id_fkey"),
        ("customers", "orders", None, "one-to-many orders_customer_id_fkey"),
        ("customers", "orders", "customer_id", "one-to-many orders_customer_id_fkey"),
        ("orders", "addresses", "billing_id", "many-to-one orders_billing_id_fkey"),
        ("orders", "addresses", "orders_shipping_id_fkey", "many-to-one orders_shipping_id_fkey"),
        ("addresses", "orders", "shipping_id", "one-to-many orders_shipping_id_fkey"),
        ("orders", "products", None, "many-to-many order_items"),
        ("orders", "products", "order_items", "many-to-many order_items"),
        ("products", "stock", None, "one-to-one stock_product_fkey"),
        ("stock", "products", None, "one-to-one stock_product_fkey"),
        ("products", "parent_id", None, "many-to-one products_parent_id_fkey"),
        ("products", "products", "parent_id", "one-to-many products_parent_id_fkey"),
    ],
)
def test_a_name_finds_one_relationship(origin: str, target: str, hint: str | None, expected: str) -> None:
    assert find(origin, target, hint) == expected


def test_several_are_listed_with_what_tells_them_apart() -> None:
    with pytest.raises(RelationshipAmbiguous) as caught:
        find("orders", "addresses")
    problem = caught.value
    assert problem.status == 300
    assert problem.candidates == [
        {
            "cardinality": "many-to-one",
            "embedding": "orders with addresses",
            "relationship": "orders_billing_id_fkey using orders(billing_id) and addresses(id)",
        },
        {
            "cardinality": "many-to-one",
            "embedding": "orders with addresses",
            "relationship": "orders_shipping_id_fkey using orders(shipping_id) and addresses(id)",
        },
    ]
    assert problem.hint == (
        "Try changing 'addresses' to one of the following: 'addresses!orders_billing_id_fkey', "
        "'addresses!orders_shipping_id_fkey'. Find the desired relationship in the 'details' key."
    )


def test_a_reference_to_itself_by_table_name_means_the_rows_that_refer_here() -> None:
    assert find("products", "products") == "one-to-many products_parent_id_fkey"
    assert find("products", "parent_id") == "many-to-one products_parent_id_fkey"
    with pytest.raises(RelationshipNotFound):
        find("products", "products", "products_parent_id_fkey")


def test_none_found_names_the_hint_and_suggests_a_near_name() -> None:
    with pytest.raises(RelationshipNotFound) as caught:
        find("orders", "custmers", "x")
    assert caught.value.details == (
        "Searched for a foreign key relationship between 'orders' and 'custmers' using the hint 'x'"
        " in the schema 'public', but no matches were found."
    )
    assert caught.value.hint == "Perhaps you meant 'customers' instead of 'custmers'."


def test_an_exact_name_is_no_suggestion() -> None:
    with pytest.raises(RelationshipNotFound) as caught:
        find("orders", "customers", "nope")
    assert caught.value.hint is None


def test_what_is_closed_is_not_suggested() -> None:
    with pytest.raises(RelationshipNotFound) as caught:
        find("customers", "secret", None, Among(hidden={("public", "secrets")}))
    assert "secrets" not in str(caught.value.hint)


def test_a_junction_in_a_schema_that_is_not_exposed_joins_nothing() -> None:
    hidden = relation("pairs", "a:int4 b:int4", schema="private", key="a,b")
    keys = [
        ForeignKey("a", hidden.key, ("public", "left"), (("a", "id"),)),
        ForeignKey("b", hidden.key, ("public", "right"), (("b", "id"),)),
    ]
    where = catalog([relation("left", "id:int4"), relation("right", "id:int4"), hidden], *keys)
    assert find("left", "right", where=where) == "many-to-many pairs"
    with pytest.raises(RelationshipNotFound):
        find("left", "right", None, Among(frozenset({"public"})), where)


def test_several_ways_through_one_junction_are_listed_by_this_side_first() -> None:
    pairs = relation("pairs", "a:int4 b:int4 c:int4 d:int4", key="a,b,c,d")
    keys = [
        foreign_key(f"fk_{column}", "pairs", column, target)
        for column, target in zip("dcba", ("right", "right", "left", "left"), strict=True)
    ]
    where = catalog([relation("left", "id:int4"), relation("right", "id:int4"), pairs], *keys)
    with pytest.raises(RelationshipAmbiguous) as caught:
        find("left", "right", where=where)
    assert [one["relationship"] for one in caught.value.candidates or ()] == [
        f"pairs using fk_{here}({here}) and fk_{there}({there})" for here in "ab" for there in "cd"
    ]


def test_an_origin_without_relationships_suggests_another_origin() -> None:
    where = catalog(
        [
            relation("orders", "id:int4 c:int4"),
            relation("customers", "id:int4"),
            relation("orders_old", "id:int4"),
        ],
        foreign_key("fk", "orders", "c", "customers"),
    )
    with pytest.raises(RelationshipNotFound) as caught:
        find("orders_old", "customers", where=where)
    assert caught.value.hint == "Perhaps you meant 'orders' instead of 'orders_old'."
