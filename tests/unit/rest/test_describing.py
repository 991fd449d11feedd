"""The pure parts of descriptions: constraints, comments, names, patterns."""

from __future__ import annotations

import re
from typing import Any

import pytest

from modules.query import at_once
from modules.rest.description.checks import constant, keywords_of
from modules.rest.description.comments import read_comment
from modules.rest.description.facts import Column, Facts, FunctionFacts, RelationFacts, TypeFacts
from modules.rest.description.grammar import equal_pattern, filter_schema, written
from modules.rest.description.names import Names, component, pascal
from modules.rest.description.schemas import nullable, plain
from modules.rest.description.seeing import Eyes, narrow
from modules.rest.description.wire import digits_of, length_of
from modules.rest.scopes import Scopes, Sight
from monohull.kernel.column_limits import ColumnLimits, ColumnRule

INTEGER = TypeFacts(23, "int4", "pg_catalog", "integer", "base")
TEXT = TypeFacts(25, "text", "pg_catalog", "text", "base")
MOOD = TypeFacts(9, "mood", "public", "mood", "enum", labels=("fine", "a.b"))


@pytest.mark.parametrize(
    ("check", "keywords"),
    [
        ("((length(name) >= 1) AND (length(name) <= 200))", {"minLength": 1, "maxLength": 200}),
        ("(char_length(VALUE) = 3)", {"minLength": 3, "maxLength": 3}),
        ("(price >= (0)::numeric)", {"minimum": 0}),
        ("(price > '-1.5'::numeric)", {"exclusiveMinimum": -1.5}),
        ('("odd name" <= 5)', {"maximum": 5}),
        ("((status)::text = ANY ((ARRAY['a'::character varying, 'it''s'::character varying])::text[]))",
         {"enum": ["a", "it's"]}),
        ("(rating = ANY (ARRAY[1, 2]))", {"enum": [1, 2]}),
        ("(country ~ '^[A-Z]{2}$'::text)", {"pattern": "^[A-Z]{2}$"}),
        ("(email ~~ 'a%@_%'::text)", {"pattern": "^a[\\s\\S]*@[\\s\\S]"}),
        ("(name <> ''::text)", {"minLength": 1}),
        ("(name ~ '\\mword'::text)", {}),
        ("(name ~ '(?i)x'::text)", {}),
        ("((price > 0) OR (price IS NULL))", {}),
        ("(lower(name) = name)", {}),
        ("((price > cost) AND (price < 10))", {"exclusiveMaximum": 10}),
        ("(name <> ' AND ('::text)", {}),
    ],
)  # fmt: skip
def test_constraints(check: str, keywords: dict[str, Any]) -> None:
    assert keywords_of([check]) == keywords


def test_constraints_that_meet() -> None:
    assert keywords_of(["(a >= 1)", "(a >= 3)"]) == {"minimum": 3}
    both = keywords_of(["(a ~ '^x'::text)", "(a ~ 'y$'::text)"])
    assert both == {"pattern": "^x", "allOf": [{"pattern": "y$"}]}


@pytest.mark.parametrize(
    ("default", "value"),
    [
        (None, None), ("'a''b'::text", "a'b"), ("(-5)", -5), ("true", True), ("now()", None),
        ("'{\"a\": 1}'::jsonb", {"a": 1}), ("'broken'::jsonb", None), ("NULL::text", None),
    ],
)  # fmt: skip
def test_defaults(default: str | None, value: Any) -> None:
    assert constant(default) == value


def test_comments() -> None:
    comment = read_comment('First.\nSecond.\n@public\n@example 5\n@example "x"\n@examples no')
    assert (comment.summary, comment.text) == ("First.", "First.\nSecond.")
    assert comment.values() == [5, "x"]
    assert comment.values(int) == [5]
    assert comment.values(str, is_text=True) == ["5", "x"]
    assert read_comment("@example true").values(int) == []
    assert read_comment(None).text == ""


def test_names() -> None:
    names = Names(pascal, ["Json"])
    given = [
        names.name(text, text) for text in ("orders", "Orders", "json", "2fa", "*/", "größe", "ﬁx", "fix")
    ]
    assert given == ["Orders", "Orders_2", "Json_2", "T2fa", "T", "Größe", "Fix", "Fix_2"]
    assert names.name("orders", "orders") == "Orders"
    assert [component(text) for text in ("a b/c", "__proto__", "é")] == ["a_b_c", "__proto__" + "_", "e"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (INTEGER, ["eq.2147483647", "not.in.(1,-2147483648)", "is.null"], ["eq.2147483648", "eq.a", "1"]),
        (TEXT, ["eq.", "ilike.*a*", "in.(a,b)", "not.is.null", "eq.a\nb"], ["a", "like.a\\", "unknown.a"]),
        (MOOD, ["eq.fine", "neq.a.b"], ["eq.bad", "eq.axb"]),
    ],
)  # fmt: skip
def test_patterns_of_filters(kind: TypeFacts, good: list[str], bad: list[str]) -> None:
    schema = filter_schema(kind)
    assert [one for one in good if not re.search(schema["pattern"], one)] == []
    assert [one for one in bad if re.search(schema["pattern"], one)] == []
    assert all(re.search(schema["pattern"], example) for example in schema["examples"])


def test_values() -> None:
    assert re.fullmatch(equal_pattern(INTEGER), "eq.-2147483648")
    assert written('a"b\\') == '"a\\"b\\\\"'
    numeric = TypeFacts(1700, "numeric", "pg_catalog", "numeric", "base")
    assert digits_of(numeric, (10 << 16 | 2) + 4) == (10, 2)
    assert plain(numeric, (3 << 16 | 1) + 4) == {
        "type": "number", "format": "decimal", "minimum": -99.9, "maximum": 99.9,
    }  # fmt: skip
    varchar = TypeFacts(1043, "varchar", "pg_catalog", "character varying", "base")
    assert (length_of(varchar, 44), length_of(varchar, -1)) == (40, None)
    assert nullable({"$ref": "#/x"}) == {"anyOf": [{"$ref": "#/x"}, {"type": "null"}]}
    assert nullable({}) == {}


def test_what_a_caller_may_not_see_is_not_there() -> None:
    columns = tuple(
        Column(name, 25, -1, False, "", False, True, True, True, True) for name in ("id", "name", "iban")
    )
    relations = tuple(RelationFacts(name, "r", 1, 28, True, columns) for name in ("orders", "people", "shut"))
    functions = tuple(FunctionFacts(name, False, 25, False, 0, ()) for name in ("total", "wipe"))
    facts = Facts("public", relations, functions, {25: TEXT})
    held = frozenset({"data.people:read", "data.rpc.total:call"})
    rule = ColumnRule("public", "people", frozenset({"id", "name"}), frozenset({"name"}))
    eyes = Eyes(frozenset({"shut"}), Sight(Scopes("public"), held, "public"), ColumnLimits((rule,)))
    seen = at_once(narrow(facts, eyes))
    assert [one.name for one in at_once(narrow(facts, Eyes(frozenset({"shut"})))).relations] == [
        "orders",
        "people",
    ]
    [people] = seen.relations
    assert people.hidden == {"post", "put", "patch", "delete"}
    assert [(one.name, one.may_update) for one in people.columns] == [("id", False), ("name", True)]
    assert [one.name for one in seen.functions] == ["total"]
