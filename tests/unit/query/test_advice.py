"""Which index would serve a request, against those that there are."""

from __future__ import annotations

import pytest

from modules.query import Compiler, Exposure, Read
from modules.query.advice import Index, advise, wants_of
from modules.query.estimate import read_estimate
from modules.rest.parameters import parse_parameters
from modules.rest.ranges import WHOLE
from tests.unit.query.catalogs import shop

CATALOG = shop()
CUSTOMERS = ("public", "customers")


def told(
    query: str,
    *indexes: tuple[str, str],
    relation: str = "customers",
    scanned: frozenset[str] = frozenset({"customers"}),
) -> tuple[str, str | None] | None:
    selection = parse_parameters(query.encode(), range_page=WHOLE, max_rows=None).selection
    compiler = Compiler(CATALOG, Exposure(mode="grants"))
    plan = compiler.plan(Read("public", relation, selection), role="anon", anonymous=True)
    there = [Index(("public", relation), first, method) for first, method in indexes]
    advice = advise(wants_of(plan, CATALOG), there, scanned)
    return None if advice is None else (advice.lacks, advice.index)


ON = 'create index on "public"."customers" '


@pytest.mark.parametrize(
    ("query", "indexes", "lacks", "index"),
    [
        ("name=eq.x", (), "name=eq", f'{ON}("name")'),
        ("name=eq.x", (("name", "gin"),), "name=eq", f'{ON}("name")'),
        ("name=eq.x&id=gt.1&order=tags", (), "name=eq", f'{ON}("name", "id")'),
        ("id=gt.1&name=eq.x", (), "id=gt", f'{ON}("name", "id")'),
        ("id=gt.1&name=eq.x", (("id", "btree"),), "name=eq", f'{ON}("name")'),
        ("name=neq.x&id=eq.1", (), "id=eq", f'{ON}("id")'),
        ("name=not.eq.x", (), "name=not.eq", None),
        ("name=not.neq.x", (), "name=not.neq", None),
        ("not.and=(name.not.eq.x)", (), "name=eq", f'{ON}("name")'),
        ("or=(id.eq.1,name.eq.x)", (("id", "btree"),), "name=eq", f'{ON}("name")'),
        ("name=is.not_null", (), "name=is.not_null", None),
        ("tags=cd.{a}", (), "tags=cd", f'{ON}using gin ("tags")'),
        ("profile=cs.{}", (), "profile=cs", f'{ON}using gin ("profile")'),
        ("profile=cd.{}", (), "profile=cd", None),
        ("notes=fts.x", (), "notes=fts", f'{ON}using gin ("notes")'),
        ("name=fts.x", (), "name=fts", None),
        ("profile->a->>b=eq.x", (), "profile->a->>b=eq", f"{ON}((\"profile\"->'a'->>'b'))"),
        ("order=name.desc,id", (), "order=name.desc,id", f'{ON}("name", "id")'),
    ],
)
def test_what_lacks_an_index_is_named_with_the_index(
    query: str, indexes: tuple[tuple[str, str], ...], lacks: str, index: str | None
) -> None:
    assert told(query, *indexes) == (lacks, index)


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("", ()),
        ("name=eq.x", (("name", "btree"),)),
        ("name=eq.x", (("name", "hash"),)),
        ("name=eq.x&order=tags", (("name", "btree"),)),
        ("tags=cs.{a}", (("tags", "gin"),)),
        ("name=ilike.*x*", (("name", "gin"),)),
        ("name=fts(english).x", (("to_tsvector('english'::regconfig, name)", "gin"),)),
        ("profile->a->>b=eq.x", (("((profile -> 'a'::text) ->> 'b'::text)", "btree"),)),
        ("order=name.desc", (("name", "btree"),)),
    ],
)
def test_nothing_lacks_what_has_one(query: str, indexes: tuple[tuple[str, str], ...]) -> None:
    assert told(query, *indexes) is None


def test_embeds_are_found_by_their_foreign_keys() -> None:
    scanned = frozenset({"orders"})
    assert told("select=id,orders(total)", scanned=scanned) == (
        "the embedding of orders by orders.customer_id",
        'create index on "public"."orders" ("customer_id")',
    )
    assert told("select=id,orders(total)&orders.total=gt.5", scanned=scanned) == (
        "total=gt",
        'create index on "public"."orders" ("customer_id", "total")',
    )


def test_an_estimate_is_what_goes_into_the_document() -> None:
    scan = b'{"Node Type": "Seq Scan", "Relation Name": "t", "Parent Relationship": "Outer", "Plan Rows": 7}'
    read = b'[{"Plan": {"Node Type": "Aggregate", "Plan Rows": 1, "Total Cost": 12.5, "Plans": [%s]}}]' % scan
    found = read_estimate(read)
    assert (found.cost, found.rows, found.scanned) == (12.5, 7, frozenset({"t"}))
    write = (
        b'{"Node Type": "ModifyTable", "Parent Relationship": "InitPlan", "Plan Rows": 0, "Plans": [%s]}'
        % scan
    )
    outer = b'{"Node Type": "CTE Scan", "Parent Relationship": "Outer", "Plan Rows": 3}'
    both = b'[{"Plan": {"Node Type": "Aggregate", "Plan Rows": 1, "Total Cost": 1.0, "Plans": [%s, %s]}}]'
    assert read_estimate(both % (write, outer)).rows == 7
