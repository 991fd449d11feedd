# ruff: noqa: E501 a definition is one long line
from __future__ import annotations

from typing import TYPE_CHECKING

from modules.query.steps import at_once
from modules.query.views import follow, read_targets, stand_ins, with_keys
from tests.unit.query.catalogs import foreign_key, relation

if TYPE_CHECKING:
    from modules.query.catalog import ForeignKey

DEFINITION = (
    r"({QUERY :commandType 1 :rtable ({RANGETBLENTRY :eref {ALIAS :aliasname o\ \{x :colnames (\"id\")} :subquery"
    r" {QUERY :targetList ({TARGETENTRY :expr {VAR :varno 1} :resno 1 :resname id :ressortgroupref 0 :resorigtbl 9"
    r" :resorigcol 9 :resjunk false})}}) :targetList ({TARGETENTRY :expr {VAR :varno 1} :resno 1 :resname id"
    r" :ressortgroupref 0 :resorigtbl 16400 :resorigcol 1 :resjunk false} {TARGETENTRY :expr {OPEXPR :args ({CONST})}"
    r" :resno 2 :resname a\ \}\ b :ressortgroupref 0 :resorigtbl 0 :resorigcol 0 :resjunk false} {TARGETENTRY :expr"
    r" {VAR :varno 1} :resno 3 :resname c\ d :ressortgroupref 2 :resorigtbl 16402 :resorigcol 3 :resjunk false}"
    r" {TARGETENTRY :expr {VAR :varno 1} :resno 4 :resname s :ressortgroupref 1 :resorigtbl 16402 :resorigcol 4"
    r" :resjunk true}) :override 0})"
)

ORDERS = relation("orders", "id:int4 customer_id:int4")
CUSTOMERS = relation("customers", "id:int4", unique="code")
VIEW = relation("v", "order_id:int4 cust:int4 cust2:int4", kind="view", key="")
OVER = relation("w", "oid:int4 customer:int4", kind="view", key="")
PEOPLE = relation("people", "pid:int4", kind="view", key="")
RELATIONS = {one.key: one for one in (ORDERS, CUSTOMERS, VIEW, OVER, PEOPLE)}
DIRECT = {
    VIEW.key: {"order_id": (ORDERS.key, "id"), "cust": (ORDERS.key, "customer_id"), "cust2": (ORDERS.key, "customer_id")},
    OVER.key: {"oid": (VIEW.key, "order_id"), "customer": (VIEW.key, "cust"), "x": (VIEW.key, "computed")},
    PEOPLE.key: {"pid": (CUSTOMERS.key, "id")},
}  # fmt: skip


def test_only_columns_of_the_query_itself_are_read() -> None:
    assert list(read_targets(DEFINITION)) == [(1, 16400, 1), (3, 16402, 3)]


def test_views_over_views_are_followed() -> None:
    origins = at_once(follow(DIRECT, RELATIONS))
    assert origins[OVER.key] == {"oid": (ORDERS.key, "id"), "customer": (ORDERS.key, "customer_id")}


def test_views_that_read_each_other_end() -> None:
    circle = {VIEW.key: {"cust": (OVER.key, "oid")}, OVER.key: {"oid": (VIEW.key, "cust")}}
    assert at_once(follow(circle, RELATIONS)) == {}


def test_views_have_the_keys_they_show() -> None:
    found = at_once(with_keys(RELATIONS, at_once(follow(DIRECT, RELATIONS))))
    assert found[VIEW.key].primary_key == ("order_id",)
    assert found[PEOPLE.key].uniques == {frozenset({"pid"})}


def test_a_row_of_a_join_is_known_by_the_keys_of_all_its_tables() -> None:
    joined = relation("j", "order_id:int4 who:int4", kind="view", key="")
    origins = {joined.key: {"order_id": (ORDERS.key, "id"), "who": (CUSTOMERS.key, "id")}}
    found = at_once(with_keys({**RELATIONS, joined.key: joined}, origins))
    assert found[joined.key].primary_key == ("order_id", "who")


def test_views_stand_in_on_both_sides() -> None:
    origins = at_once(follow(DIRECT, RELATIONS))
    keys = at_once(stand_ins([foreign_key("fk", "orders", "customer_id", "customers")], origins))

    def way(fk: ForeignKey) -> str:
        return f"{fk.source[1]}.{fk.pairs[0][0]}>{fk.target[1]}.{fk.pairs[0][1]}"

    assert {way(fk) for fk in keys} == {
        "orders.customer_id>people.pid",
        "v.cust>customers.id",
        "v.cust2>customers.id",
        "v.cust>people.pid",
        "v.cust2>people.pid",
        "w.customer>customers.id",
        "w.customer>people.pid",
    }
