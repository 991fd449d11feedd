"""Shape in, SQL text out: what the planner resolves and what the writer makes of it."""

# a row of a table is read best on one line
# ruff: noqa: E501
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from modules.query import Compiler, Exposure, QueryProblem, Read, RelationClosed, RelationNotFound
from modules.query.errors import AggregatesOff, EmbedNotSelected, EmbedOperatorNotAllowed, OrderNotPossible
from modules.rest.parameters import parse_parameters
from modules.rest.ranges import WHOLE
from tests.unit.query.catalogs import catalog, relation, shop

if TYPE_CHECKING:
    from modules.query import Compiled
    from modules.query.ast import Selection, Shape

GRANTS = Exposure(mode="grants")


def read(relation: str, query: str = "", *, shape: Shape = "array", max_rows: int | None = None) -> Read:
    selection: Selection = parse_parameters(query.encode(), range_page=WHOLE, max_rows=max_rows).selection
    return Read("public", relation, selection, shape, max_rows=max_rows)


def compile_sql(
    relation: str, query: str = "", exposure: Exposure = GRANTS, *, max_rows: int | None = None
) -> str:
    asked = read(relation, query, max_rows=max_rows)
    compiled = Compiler(shop(), exposure).compile(asked, role="anon", anonymous=True)
    head, tail = "SELECT NULL::bigint, count(*), coalesce(json_agg(_row), '[]') FROM (", ") AS _row"
    assert compiled.statement.text.startswith(head)
    return compiled.statement.text.removeprefix(head).removesuffix(tail)


@pytest.mark.parametrize(
    ("query", "sql"),
    [
        ("", 'SELECT "public"."customers".* FROM "public"."customers"'),
        ("select=", 'SELECT  FROM "public"."customers"'),
        ("select=id,n:name", 'SELECT "public"."customers"."id", "public"."customers"."name" AS "n" FROM'),
        ("select=id::TEXT", 'CAST("public"."customers"."id" AS "text") AS "id"'),
        ("select=id::Double precision", 'CAST("public"."customers"."id" AS double precision) AS "id"'),
        ("select=profile->a->>b", '"public"."customers"."profile"->\'a\'->>\'b\' AS "b"'),
        ("select=tags->0", 'to_jsonb("public"."customers"."tags")->0 AS "tags"'),
        ("select=profile->>it's", "->>'it''s' AS \"it's\""),
        ("select=id.sum(),name", 'SELECT sum("public"."customers"."id") AS "sum", "public"."customers"."name" FROM'),
        ("select=id.sum(),name", ' GROUP BY "public"."customers"."name"'),
        ("select=count()", "SELECT count(*)"),
        ("select=profile->>a::int.sum()", ' AS "sum"'),
        ("name=eq.x", 'WHERE "public"."customers"."name" = $1'),
        ("name=not.like.*x*", 'WHERE NOT "public"."customers"."name" LIKE $1'),
        ("id=in.(1,2)", 'WHERE "public"."customers"."id" = ANY ($1)'),
        ("id=gt(any).{1,2}", '"public"."customers"."id" > ANY ($1)'),
        ("name=isdistinct.x", '("public"."customers"."name" IS DISTINCT FROM $1)'),
        ("name=is.not_null", 'WHERE "public"."customers"."name" IS NOT NULL'),
        ("name=not.is.null", 'WHERE NOT ("public"."customers"."name" IS NULL)'),
        ("name=fts(english).cat", "to_tsvector('english', \"public\".\"customers\".\"name\") @@ to_tsquery('english', $1)"),
        ("notes=wfts.cat", 'WHERE "public"."customers"."notes" @@ websearch_to_tsquery($1)'),
        ("or=(id.eq.1,not.and(id.gt.2,name.is.null))", '("public"."customers"."id" = $1 OR NOT ("public"."customers"."id" > $2 AND "public"."customers"."name" IS NULL))'),
        ("order=name.desc.nullslast,id", 'ORDER BY "public"."customers"."name" DESC NULLS LAST, "public"."customers"."id"'),
        ("limit=5&offset=2", "LIMIT $1 OFFSET $2"),
    ],
)  # fmt: skip
def test_clauses(query: str, sql: str) -> None:
    assert sql in compile_sql("customers", query)


def test_the_document_comes_last_but_in_plans() -> None:
    compiler = Compiler(shop(), GRANTS, asides=("response.status",))
    asked, aside = read("customers"), "current_setting('response.status', true)"
    plan = compiler.compile(asked, role="anon", anonymous=True, is_explained=True)
    statement = compiler.compile(asked, role="anon", anonymous=True)
    document = "coalesce(json_agg(_row), '[]')"
    assert statement.statement.text.startswith(f"SELECT NULL::bigint, count(*), {aside}, {document} FROM")
    assert plan.statement.text.startswith(f"SELECT NULL::bigint, count(*), {document}, {aside} FROM")


def products(query: str, *, max_rows: int | None = 7, **more: Any) -> Compiled:
    keyed = relation("products", "id:int4 code:text name:text doc:jsonb", unique="code,name", keeps_keys=True)
    asked = replace(read("products", query, max_rows=max_rows), **more)
    compiler = Compiler(catalog([keyed]), GRANTS, asides=("response.status",))
    return compiler.compile(asked, role="anon", anonymous=True)


@pytest.mark.parametrize("query", ["id=eq.1", "name=eq.b&code=eq.a", "id=eq.1&name=gt.c", "id=eq.1&id=neq.2"])
def test_a_row_with_a_key_is_the_answer(query: str) -> None:
    aside = "current_setting('response.status', true)"
    rows = 'FROM (SELECT "public"."products".* FROM "public"."products" WHERE '
    array, single = products(query), products(query, shape="object")
    begins = f"SELECT NULL::bigint, 1, {aside}, pg_catalog.json_build_array(_row) {rows}"
    assert array.statement.text.startswith(begins)
    begins = f"SELECT NULL::bigint, 1, {aside}, pg_catalog.row_to_json(_row) {rows}"
    assert single.statement.text.startswith(begins)
    assert "LIMIT" not in array.statement.text + single.statement.text
    assert (array.empty, single.empty) == (b"[]", b"null")


@pytest.mark.parametrize(
    ("query", "more"),
    [
        ("code=eq.1", {}),
        ("code=eq.1&name=neq.1", {}),
        ("id=not.eq.1", {}),
        ("id=in.(1)", {}),
        ("id=eq(any).{1}", {}),
        ("and=(id.eq.1,name.eq.b)", {}),
        ("id->a=eq.1", {}),
        ("id=eq.1&limit=1", {}),
        ("id=eq.1&offset=1", {}),
        ("id=eq.1&label=eq.a", {}),
        ("id=eq.1&select=label", {}),
        ("id=eq.1&select=count()", {}),
        ("id=eq.1&select=", {}),
        ("id=eq.1", {"max_rows": 0}),
        ("id=eq.1", {"shape": "csv"}),
        ("id=eq.1", {"shape": "none"}),
        ("id=eq.1", {"strip_nulls": True}),
        ("id=eq.1", {"count": "exact"}),
        ("id=eq.1", {"count": "planned"}),
    ],
)
def test_rows_that_may_be_several_are_gathered(query: str, more: dict[str, Any]) -> None:
    compiled = products(query, **more)
    assert "count(*)" in compiled.statement.text
    assert compiled.empty == b""


def test_so_is_a_row_before_which_something_runs() -> None:
    keyed = catalog([relation("products", "id:int4", keeps_keys=True)])
    for by_key in (True, False):
        compiler = Compiler(keyed, GRANTS, by_key=by_key)
        text = compiler.compile(read("products", "id=eq.1"), role="anon", anonymous=True).statement.text
        assert ("count(*)" in text) != by_key


def test_the_ceiling_stands_where_no_limit_was_given() -> None:
    assert compile_sql("customers", "select=id,orders(id)", max_rows=7).count("LIMIT 7") == 2
    assert (
        "LIMIT"
        not in compile_sql("orders", "select=customers(name)", max_rows=7)
        .split("LATERAL")[1]
        .split("ON TRUE")[0]
    )


def test_embeds_are_lateral_joins() -> None:
    assert compile_sql("orders", "select=id,buyer:customers(name),order_items(quantity)") == (
        'SELECT "public"."orders"."id", row_to_json("orders_buyer_1".*) AS "buyer",'
        ' coalesce("orders_order_items_1"."orders_order_items_1", \'[]\') AS "order_items" FROM "public"."orders"'
        ' LEFT JOIN LATERAL (SELECT "customers_1"."name" FROM "public"."customers" AS "customers_1"'
        ' WHERE "customers_1"."id" = "public"."orders"."customer_id") AS "orders_buyer_1" ON TRUE'
        ' LEFT JOIN LATERAL (SELECT json_agg("orders_order_items_1") AS "orders_order_items_1" FROM'
        ' (SELECT "order_items_1"."quantity" FROM "public"."order_items" AS "order_items_1"'
        ' WHERE "order_items_1"."order_id" = "public"."orders"."id") AS "orders_order_items_1")'
        ' AS "orders_order_items_1" ON TRUE'
    )


def test_a_junction_is_joined_in() -> None:
    sql = compile_sql("orders", "select=products(name)")
    assert '"public"."products" AS "products_1", "public"."order_items" AS "order_items_1_through"' in sql


def test_inner_and_missing_embeds() -> None:
    sql = compile_sql("customers", "select=id,orders!inner(id)&orders.total=gt.5")
    assert "INNER JOIN LATERAL" in sql
    assert 'ON "customers_orders_1"."customers_orders_1" IS NOT NULL' in sql
    assert '"customers_orders_1"."customers_orders_1" IS NULL' in compile_sql(
        "customers", "select=orders()&orders=is.null"
    )
    assert '"orders_customers_1" IS DISTINCT FROM NULL' in compile_sql(
        "orders", "select=customers()&customers=not.is.null"
    )


@pytest.mark.parametrize(
    ("relation", "query", "document"),
    [
        ("orders", "select=total.sum(),customers(name)", 'row_to_json("orders_customers_1".*)::jsonb'),
        ("customers", "select=count(),orders(id)", 'coalesce("customers_orders_1"."customers_orders_1", \'[]\')::jsonb'),
    ],
)  # fmt: skip
def test_documents_of_embeds_can_be_grouped_by(relation: str, query: str, document: str) -> None:
    sql = compile_sql(relation, query)
    assert f"{document} AS" in sql
    assert sql.endswith(f" GROUP BY {document}")


def test_counting_turns_embeds_into_exists() -> None:
    asked = read("customers", "select=id,orders!inner(id)&orders.total=gt.5&limit=1")
    asked = Read("public", "customers", asked.selection, "array", "exact")
    text = Compiler(shop(), GRANTS).compile(asked, role="anon", anonymous=True).statement.text
    assert (
        '(SELECT count(*) FROM (SELECT 1 FROM "public"."customers" WHERE EXISTS (SELECT FROM "public"."orders"'
        in text
    )


def test_spreads() -> None:
    assert '"orders_customers_1"."who" AS "who"' in compile_sql("orders", "select=id,...customers(who:name)")
    sql = compile_sql("customers", "select=id,...orders(ids:id)")
    assert 'coalesce("customers_orders_1"."ids", \'[]\') AS "ids"' in sql
    assert 'json_agg("customers_orders_1"."ids") AS "ids"' in sql


@pytest.mark.parametrize(
    ("relation", "query", "problem"),
    [
        ("custmers", "", RelationNotFound),
        ("customers", "select=id&orders.id=eq.1", EmbedNotSelected),
        ("customers", "select=orders(id)&order=orders(id)", OrderNotPossible),
        ("orders", "select=id&order=customers(id)", EmbedNotSelected),
        ("orders", "select=customers(id)&customers=eq.1", EmbedOperatorNotAllowed),
    ],
)
def test_refusals(relation: str, query: str, problem: type[QueryProblem]) -> None:
    with pytest.raises(problem):
        compile_sql(relation, query)


def test_aggregates_can_be_switched_off() -> None:
    with pytest.raises(AggregatesOff):
        Compiler(shop(), GRANTS, aggregates=False).compile(
            read("orders", "select=count()"), role="anon", anonymous=True
        )


def test_a_closed_relation_is_refused_also_when_the_statement_is_kept() -> None:
    compiler = Compiler(shop(), Exposure())
    for query in ("select=id", "select=id,customers(id)"):
        asked = read("secrets", query)
        compiler.compile(asked, role="postgres", anonymous=False)
        for _ in range(2):
            with pytest.raises(RelationClosed) as caught:
                compiler.compile(asked, role="authenticated", anonymous=False)
            assert caught.value.status == 403
        with pytest.raises(RelationClosed) as caught:
            compiler.compile(asked, role="anon", anonymous=True)
        assert caught.value.status == 401
    with pytest.raises(RelationClosed, match=r"public\.secrets is closed"):
        compiler.compile(read("customers", "select=secrets(id)"), role="authenticated", anonymous=False)


def test_equal_shapes_share_a_statement_and_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.query.compiler.MAX_STATEMENTS", 2)
    compiler = Compiler(shop(), GRANTS)
    first = compiler.compile(read("orders", "id=eq.1"), role="anon", anonymous=True)
    assert compiler.compile(read("orders", "id=eq.2"), role="other", anonymous=False) is first
    for column in ("total", "customer_id"):
        compiler.compile(read("orders", f"{column}=eq.1"), role="anon", anonymous=True)
    assert compiler.compile(read("orders", "id=eq.1"), role="anon", anonymous=True) is not first


def test_long_names_keep_their_difference() -> None:
    long = "x" * 80
    sql = compile_sql("orders", f"select={long}a:customers(id),{long}b:customers(id)")
    names = {part.split('"')[0] for part in sql.split('AS "orders_')[1:]}
    assert len(names) == 2


def test_an_estimate_binds_only_what_it_uses() -> None:
    query = "select=id,orders(id)&orders.id=eq.1&order=id&limit=3&offset=2&name=eq.x&profile->>'$1=eq.y"
    asked = read("customers", query)
    asked = Read("public", "customers", asked.selection, "array", "planned")
    plan = Compiler(shop(), GRANTS).compile(asked, role="anon", anonymous=True).count_plan
    assert plan is not None
    assert plan.text.endswith('"name" = $1 AND "public"."customers"."profile"->>\'\'\'$1\' = $2')
    assert plan.choose(["1", "x", "y", "3", "2"]) == ["x", "y"]
