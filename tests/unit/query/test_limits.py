"""The catalog and the statements of callers who are limited to some columns."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from modules.query import ColumnAbsent, Compiler, Exposure, RelationshipNotFound
from modules.query.limits import hidden_names, limit_catalog
from modules.rest.vantage import MAX_LIMITED, Vantage
from monohull.kernel.column_limits import ColumnLimits, ColumnRule
from tests.unit.query.catalogs import shop
from tests.unit.query.test_compiler import read


def limits(relation: str, *reads: str) -> ColumnLimits:
    return ColumnLimits((ColumnRule("public", relation, frozenset(reads), None, ("clerk",)),))


def sql(compiler: Compiler, relation: str, query: str) -> str:
    return compiler.compile(read(relation, query), role="anon", anonymous=True).statement.text


@pytest.fixture
def compiler() -> Compiler:
    return Compiler(shop(), Exposure(mode="grants"))


def test_a_star_is_written_out(compiler: Compiler) -> None:
    limited = compiler.limited(limits("customers", "name", "id"))
    assert 'SELECT "public"."customers"."id", "public"."customers"."name" FROM' in sql(
        limited, "customers", ""
    )
    assert 'SELECT "public"."customers".* FROM' in sql(compiler, "customers", "")
    assert '"orders".*' in sql(limited, "orders", "")
    assert "SELECT  FROM" in sql(compiler.limited(limits("customers")), "customers", "")


@pytest.mark.parametrize(
    "query",
    [
        *("select=profile", "select=p:profile->a", "select=profile::text", "select=profile.max()"),
        *("profile=is.null", "or=(id.eq.1,profile.eq.1)", "order=profile", "select=to_jsonb", "ctid=eq.1"),
    ],
)
def test_other_names_are_absent(compiler: Compiler, query: str) -> None:
    limited = compiler.limited(limits("customers", "id", "name"))
    with pytest.raises(ColumnAbsent, match=r"column customers\.\w+ does not exist"):
        sql(limited, "customers", query)
    assert sql(compiler, "customers", query)


def test_what_the_rule_lists_is_left_to_the_server(compiler: Compiler) -> None:
    limited = compiler.limited(limits("customers", "id", "shouted"))
    assert '"public"."customers"."shouted"' in sql(limited, "customers", "select=shouted")


def test_relationships_of_hidden_columns_are_gone(compiler: Compiler) -> None:
    limited = compiler.limited(limits("orders", "id", "customer_id"))
    assert sql(limited, "orders", "select=id,customers(name)")
    for relation, query in (
        ("orders", "select=id,addresses!billing_id(street)"),
        ("addresses", "select=id,orders!billing_id(id)"),
    ):
        with pytest.raises(RelationshipNotFound):
            sql(limited, relation, query)
        assert sql(compiler, relation, query)
    joined = compiler.limited(limits("order_items", "order_id", "quantity"))
    for relation, query in (("orders", "select=id,products(name)"), ("products", "select=id,orders(id)")):
        with pytest.raises(RelationshipNotFound):
            sql(joined, relation, query)


def test_a_hidden_key_is_no_key() -> None:
    whole = shop()
    keyed = whole.relations["public", "customers"]
    keyed = replace(keyed, identities=keyed.uniques)
    whole = replace(whole, relations={**whole.relations, keyed.key: keyed})
    catalog = limit_catalog(whole, limits("customers", "name"))
    customers = catalog.relations["public", "customers"]
    assert (customers.primary_key, customers.uniques, customers.identities) == ((), frozenset(), frozenset())
    shown = limit_catalog(whole, limits("customers", "id")).relations["public", "customers"]
    assert shown.identities == {frozenset({"id"})}
    assert hidden_names(catalog) == {"id", "profile", "tags", "notes"}
    assert catalog.relations["public", "orders"] is not customers


def test_callers_with_the_same_limits_share_what_is_known(compiler: Compiler) -> None:
    vantage = Vantage(compiler.catalog, compiler, "public")
    one = vantage.limited(limits("customers", "id", "name"))
    assert vantage.limited(limits("customers", "name", "id")) is one
    assert one.compiler is not compiler
    assert one.scopes is not vantage.scopes
    for number in range(MAX_LIMITED):
        vantage.limited(limits("customers", f"c{number}"))
    assert vantage.limited(limits("customers", "id", "name")) is not one, "the one that was used last stays"


def test_a_rule_of_what_is_not_there_hides_nothing(compiler: Compiler) -> None:
    limited = compiler.limited(limits("nothing", "id"))
    assert limited.hidden == frozenset()
    assert sql(limited, "customers", "") == sql(compiler, "customers", "")
