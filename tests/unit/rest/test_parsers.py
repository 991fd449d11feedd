"""Each parameter's parser: text in, tree out, and where it stops when the text is wrong."""

# a row of a table is read best on one line
# ruff: noqa: E501
from __future__ import annotations

import pytest

from modules.query import AllColumns, Column, Field, Filter, Is, Logic, Order, Step
from modules.rest.draft import DraftEmbed, Node
from modules.rest.errors import QueryStringError, QueryStringRefused
from modules.rest.filters import parse_filter
from modules.rest.logic import parse_logic
from modules.rest.order import parse_order
from modules.rest.select import parse_select

A = Field("a")


def shown(nodes: list[Node]) -> str:
    """Write a tree back, for comparison at a glance."""
    return ",".join(_shown(node) for node in nodes)


def _shown(node: Node) -> str:
    match node:
        case AllColumns():
            return "*"
        case Column(field=field, alias=alias, cast=cast, aggregate=aggregate, aggregate_cast=after):
            path = "".join(f"{'>>' if s.as_text else '>'}{s.key!r}" for s in field.path) if field else ""
            parts = (
                f"{alias}=" if alias else "",
                field.name if field else "",
                path,
                f"::{cast}" if cast else "",
            )
            return "".join(parts) + (f".{aggregate}" if aggregate else "") + (f"::{after}" if after else "")
        case DraftEmbed():
            name = f"{node.alias}=" if node.alias else ""
            marks = f"!{node.hint}" if node.hint else ""
            marks += f"!!{node.join}" if node.join else ""
            return f"{'...' if node.spread else ''}{name}{node.relation}{marks}[{shown(node.draft.items)}]"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", ""),
        ("*", "*"),
        ("id, name", "id,name"),
        ("full name", "full name"),
        ("field-with_sep", "field-with_sep"),
        ('":arr->ow::cast","(in,side)"', ":arr->ow::cast,(in,side)"),
        ("a:b", "a=b"),
        ("a::text", "a::text"),
        ("x:a->b->>c::int", "x=a>'b'>>'c'::int"),
        ("a->0->>-1", "a>0>>-1"),
        ("a->0x", "a>'0x'"),
        ("a->!@#$%^&*_d->>!@#", "a>'!@#$%^&*_d'>>'!@#'"),
        ("data->a-b->>c", "data>'a-b'>>'c'"),
        ('data->"a.b"', "data>'a.b'"),
        ("count()", ".count"),
        ("n:count()::text", "n=.count::text"),
        ("amount::int.sum()::text", "amount::int.sum::text"),
        ("s:amount.avg()", "s=amount.avg"),
        ("clients(*)", "clients[*]"),
        ("c:clients!fk!inner( id , x(y))", "c=clients!fk!!inner[id,x[y]]"),
        ("clients!left()", "clients!!left[]"),
        ("...clients(name)", "...clients[name]"),
        ("id)", "id"),
        ("a(b)x", "a[b]"),
        ("Größe", "Größe"),
    ],
)
def test_select(text: str, tree: str) -> None:
    assert shown(parse_select(text)) == tree


@pytest.mark.parametrize(
    ("text", "column"),
    [("id,", 4), ("a(", 3), ("a:", 3), ("a::", 4), ("a->", 4), ("a->(b", 4), ("a b!", 5), (",a", 1), ("a.sum", 2), ("...a", 5), ('"a', 1), ("a(b", 4)],
)  # fmt: skip
def test_select_says_where_it_stopped(text: str, column: int) -> None:
    with pytest.raises(QueryStringError) as caught:
        parse_select(text)
    assert caught.value.column == column
    assert caught.value.message == f'"failed to parse select parameter ({text})" (line 1, column {column})'


@pytest.mark.parametrize("text", ["a(" * 20 + ")" * 20, ",".join("a" * 1001), ",".join(["a()"] * 65)])
def test_select_has_limits(text: str) -> None:
    with pytest.raises(QueryStringRefused):
        parse_select(text)


@pytest.mark.parametrize(
    ("text", "condition", "values"),
    [
        ("eq.1", Filter(A, "eq", 0), ["1"]),
        ("eq.", Filter(A, "eq", 0), [""]),
        ("eq.a.b,c)", Filter(A, "eq", 0), ["a.b,c)"]),
        ("gte.1", Filter(A, "gte", 0), ["1"]),
        ("not.neq.1", Filter(A, "neq", 0, negated=True), ["1"]),
        ("like.*a*", Filter(A, "like", 0), ["%a%"]),
        ("ilike(all).{*a,b*}", Filter(A, "ilike", 0, quantifier="all"), ["{%a,b%}"]),
        ("match.^a*", Filter(A, "match", 0), ["^a*"]),
        ("in.(1,2)", Filter(A, "in", 0), ['{"1","2"}']),
        ("in.()", Filter(A, "in", 0), ["{}"]),
        ("in.(   )", Filter(A, "in", 0), ["{}"]),
        ("in.(,)", Filter(A, "in", 0), ['{"",""}']),
        ('in.("a,b",c)', Filter(A, "in", 0), ['{"a,b","c"}']),
        (r'in.("a\"b\\")', Filter(A, "in", 0), [r'{"a\"b\\"}']),
        ('in.(Double"Quote")', Filter(A, "in", 0), [r'{"Double\"Quote\""}']),
        ('in.(")', Filter(A, "in", 0), [r'{"\""}']),
        ("is.null", Is(A, "null"), []),
        ("not.is.NoT_NuLl", Is(A, "not_null", negated=True), []),
        ("is.UNKNOWN", Is(A, "unknown"), []),
        ("fts(english).a b", Filter(A, "fts", 0, config="english"), ["a b"]),
        ("wfts.a", Filter(A, "wfts", 0), ["a"]),
        ("isdistinct.x", Filter(A, "isdistinct", 0), ["x"]),
        ("adj.[1,2)", Filter(A, "adj", 0), ["[1,2)"]),
    ],
)
def test_filters(text: str, condition: object, values: list[str]) -> None:
    found: list[str] = []
    assert parse_filter(A, text, found) == condition
    assert found == values


@pytest.mark.parametrize(
    "text",
    ["", "1", "eq", "equals.1", "in.1", "in.(1", "is.nil", "is.", "not.", "cs(any).1", "fts(a b).c", "fts('x').c", "eq(some).1"],
)  # fmt: skip
def test_filters_refused(text: str) -> None:
    with pytest.raises(QueryStringError) as caught:
        parse_filter(A, text, [])
    assert caught.value.message.startswith(f'"failed to parse filter ({text})" (line 1, column ')


def test_a_list_has_a_limit() -> None:
    with pytest.raises(QueryStringRefused):
        parse_filter(A, f"in.({',' * 10_001})", [])


def test_logic() -> None:
    values: list[str] = []
    tree = parse_logic(
        "or", '(a.eq."x,y", not.and( a.gt.1,b->>c.in.(2,3) ),a.cs.{1,2},and_x.is.null)', values
    )
    assert tree == Logic(
        "or",
        (
            Filter(A, "eq", 0),
            Logic(
                "and",
                (Filter(A, "gt", 1), Filter(Field("b", (Step("c", as_text=True),)), "in", 2)),
                negated=True,
            ),
            Filter(A, "cs", 3),
            Is(Field("and_x"), "null"),
        ),
    )
    assert values == ["x,y", "1", '{"2","3"}', "{1,2}"]


def test_logic_takes_a_parenthesis_too_many_and_a_quote_too_few() -> None:
    assert len(parse_logic("and", "(a.eq.1,a.neq.2))", []).terms) == 2
    values: list[str] = []
    parse_logic("or", '(a.like."*x)', values)
    assert values == ['"%x']


@pytest.mark.parametrize("text", ["", "()", "(a)", "(a.eq.1", "(a.eq.1,)", "(and)", "(a.b.1)", "a.eq.1"])
def test_logic_refused(text: str) -> None:
    with pytest.raises(QueryStringError):
        parse_logic("or", text, [])


def test_logic_reports_as_postgrest_does() -> None:
    with pytest.raises(QueryStringError) as caught:
        parse_logic("or", "()", [])
    assert caught.value.message == '"failed to parse logic tree (())" (line 1, column 4)'
    assert caught.value.details == (
        'unexpected ")" expecting field name (* or [a..z0..9_$]), negation operator (not)'
        " or logic operator (and, or)"
    )


@pytest.mark.parametrize("text", ["(and" * 100, "(or(" * 50, "(" + "a.eq.1," * 600 + "a.eq.1)"])
def test_logic_has_limits(text: str) -> None:
    with pytest.raises((QueryStringRefused, QueryStringError)):
        parse_logic("and", text, [])


def test_a_hundred_levels_are_refused() -> None:
    with pytest.raises(QueryStringRefused, match="32 levels"):
        parse_logic("and", "(or" * 100 + "(a.eq.1)" + ")" * 100, [])


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a", (Order(A),)),
        ("a.desc , b.nullsfirst", (Order(A, "desc"), Order(Field("b"), nulls="first"))),
        ("a->>b.asc.nullslast", (Order(Field("a", (Step("b", as_text=True),)), "asc", "last"),)),
        ("c(a).desc", (Order(A, "desc", relation="c"),)),
    ],
)
def test_order(text: str, terms: tuple[Order, ...]) -> None:
    assert parse_order(text) == terms


@pytest.mark.parametrize("text", ["a.down", "a,", "a.asc.desc", "c(a", "c(a).x", ".asc", "a.nullsfirst.asc"])
def test_order_refused(text: str) -> None:
    with pytest.raises(QueryStringError):
        parse_order(text)


def test_order_has_a_limit() -> None:
    with pytest.raises(QueryStringRefused):
        parse_order(",".join("a" * 101))
