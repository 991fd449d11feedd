"""A nested body taken apart: which rows, in which stages, and what they take from one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from modules.query import Conflict
from modules.query.relationships import Among, find_relationship
from modules.rest.body import DIFFERENT, parse_uneven
from modules.rest.errors import BodyInvalid
from modules.rest.nested import Limits, Reader, Row, Top, pointer
from modules.rest.nested_errors import NestedInvalid, NestedTooLarge
from modules.rest.parameters import parse_parameters
from modules.rest.ranges import WHOLE
from tests.unit.query.catalogs import shop

if TYPE_CHECKING:
    from modules.query import Key, Relation, Relationship

CATALOG = shop()


class Ways:
    def relation(self, key: Key) -> Relation:
        return CATALOG.relations[key]

    def way(self, origin: Key, target: str, hint: str | None) -> Relationship:
        return find_relationship(CATALOG, origin, target, hint, among=Among())


def read(relation: str, body: Any, *, select: str = "*", columns: Any = None, **more: Any) -> list[Row]:
    limits = Limits(more.get("rows", 100), more.get("depth", 8))
    reader = Reader(Ways(), limits, merges=more.get("merges", False))
    parameters = parse_parameters(f"select={select}".encode(), range_page=WHOLE, max_rows=None)
    top = Top(("public", relation), parameters.selection.items, columns, more.get("conflict"))
    return reader.read(top, msgspec.json.encode(body))


def shown(rows: list[Row]) -> list[tuple[int, str, str, str, str]]:
    """Return stage, path, relation, what the body says, and what it takes."""
    return [
        (
            row.stage,
            row.path,
            row.relation.name,
            row.document.decode(),
            " ".join(f"{one.column}={one.row.relation.name}.{one.name}" for one in row.taken),
        )
        for row in rows
    ]


def test_parents_go_before_and_children_after() -> None:
    body = {
        "order_items": [{"quantity": 2, "products": {"name": "Rope", "stock": {"amount": 7}}}],
        "total": 3,
        "customers": {"name": "Ada"},
    }
    assert shown(read("orders", body)) == [
        (0, "/customers", "customers", '{"name":"Ada"}', ""),
        (0, "/order_items/0/products", "products", '{"name":"Rope"}', ""),
        (1, "", "orders", '{"total":3}', "customer_id=customers.id"),
        (1, "/order_items/0/products/stock", "stock", '{"amount":7}', "product_id=products.id"),
        (
            2,
            "/order_items/0",
            "order_items",
            '{"quantity":2}',
            "product_id=products.id order_id=orders.id",
        ),
    ]


def test_the_row_between_is_written_last() -> None:
    rows = read("orders", [{"products": [{"name": "x"}, {"id": 7}]}, {}], merges=True, conflict=Conflict())
    assert shown(rows) == [
        (0, "/0", "orders", "{}", ""),
        (0, "/0/products/0", "products", '{"name":"x"}', ""),
        (0, "/0/products/1", "products", '{"id":7}', ""),
        (0, "/1", "orders", "{}", ""),
        (1, "/0/products/0", "order_items", "{}", "order_id=orders.id product_id=products.id"),
        (1, "/0/products/1", "order_items", "{}", "order_id=orders.id product_id=products.id"),
    ]
    assert [(row.conflict is not None and row.conflict.merge, row.is_top) for row in rows] == [
        (True, True),
        (True, False),
        (True, False),
        (True, True),
        (False, False),
        (False, False),
    ]


def test_a_column_is_a_column() -> None:
    """Whatever its value is, and whatever else has its name; an alias stands for what select means by it."""
    [row] = read("customers", {"profile": {"orders": [1]}, "tags": ["a"], "name": None})
    assert (row.columns, row.nested) == (("profile", "tags", "name"), ("profile", "tags"))
    select = "id,bill:addresses!orders_billing_id_fkey(street),c:customers(name,o:orders(total))"
    body = {"bill": {"street": "x"}, "addresses!shipping_id": {"street": "y"}, "c": {"o": [{"total": 1}]}}
    rows = read("orders", body, select=select)
    assert [(row.stage, row.path) for row in rows] == [
        (0, "/bill"),
        (0, "/addresses!shipping_id"),
        (0, "/c"),
        (1, "/c/o/0"),
        (1, ""),
    ]
    assert rows[-1].taken[0].column == "billing_id"


def test_columns_of_the_query_hold_at_the_top() -> None:
    rows = read(
        "orders",
        [{"total": 1, "billing_id": 2, "order_items": [{"quantity": 1}]}],
        columns=("shipping_id", "total", "order_items"),
    )
    assert [(row.columns, row.document) for row in rows] == [
        (("shipping_id", "total"), b'{"total":1}'),
        (("quantity",), b'{"quantity":1}'),
    ]


def test_what_comes_from_another_row_is_not_taken_from_the_body() -> None:
    _, line = read("orders", {"order_items": [{"order_id": 5, "quantity": 1}]})
    assert (line.own, line.document) == (("quantity",), b'{"quantity":1}')


def test_limits() -> None:
    chain: dict[str, Any] = {}
    for _ in range(3):
        chain = {"products": [chain]}
    assert len(read("products", chain, depth=3, rows=4)) == 4
    few: tuple[dict[str, Any], ...] = ({"depth": 2}, {"rows": 3})
    for limits in few:
        with pytest.raises(NestedTooLarge) as refused:
            read("products", chain, **limits)
        assert refused.value.path == "/products/0/products/0/products/0"


@pytest.mark.parametrize("value", [7, "x", True, [7], [[]], {"a": 1}])
def test_what_is_no_list_of_rows(value: Any) -> None:
    with pytest.raises(NestedInvalid) as refused:
        read("orders", {"order_items": value})
    assert refused.value.path in ("/order_items", "/order_items/0")


def test_a_body_of_rows_with_different_keys() -> None:
    body, is_even = parse_uneven(b'[{"a": 1}, {"b": [2], "a": 3}]')
    assert (body.columns, body.nested, is_even) == (("a", "b"), ("b",), False)
    assert parse_uneven(b'[{"a": 1}, {"a": {}}]')[1]
    for raw in (b"[1, {}]", b"[[], {}]"):
        with pytest.raises(BodyInvalid, match=DIFFERENT):
            parse_uneven(raw)
    with pytest.raises(BodyInvalid):
        parse_uneven(b"[{]")


def test_pointers() -> None:
    assert pointer("/0", "a/b~") == "/0/a~1b~0"
