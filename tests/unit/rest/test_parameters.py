"""Whole query strings: hostile ones give a refusal, and no value is ever in the SQL."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.query import Compiler, EmbedNotSelected, Exposure, QueryProblem, Read
from modules.rest.errors import QueryStringError, QueryStringRefused, QueryStringTooLong, RangeNotSatisfiable
from modules.rest.parameters import Parameters, canonical_query, parse_parameters, split_query
from modules.rest.ranges import WHOLE, Page
from monohull.kernel.errors import Problem
from tests.unit.query.catalogs import shop

REFUSALS = (QueryStringError, QueryStringRefused, QueryStringTooLong, RangeNotSatisfiable, EmbedNotSelected)


def parse(query: str | bytes, *, page: Page = WHOLE, max_rows: int | None = 1000) -> Parameters:
    raw = query.encode() if isinstance(query, str) else query
    return parse_parameters(raw, range_page=page, max_rows=max_rows)


@pytest.mark.parametrize(
    "query",
    [
        b"a=eq.%00",
        b"%00=eq.1",
        b"a=eq.%ed%a0%80",
        b"a=eq.%c0%af",
        b"a=eq.\xff",
        b"select=" + b"a(" * 1000,
        b"or=" + b"(or" * 100 + b"(a.eq.1)" + b")" * 100,
        b"&".join(b"a=eq.1" for _ in range(501)),
        b"x" * 70_000,
        b"a.b=eq.1",
        b"a=1",
        b"=eq.1",
        b".=eq.1",
        b"a.=eq.1",
        b"a->=eq.1",
        b"x.order=id",
        b"x.limit=1",
        b"x.or=(a.eq.1)",
        b"not.or=(a.eq.1",
        b"limit=x",
        b"limit=-1",
        b"offset=x",
        b"id=in.(" + b"1," * 10_001 + b"1)",
    ],
)
def test_hostile_queries_are_refused(query: bytes) -> None:
    with pytest.raises(REFUSALS) as caught:
        parse(query)
    assert isinstance(caught.value, Problem)
    assert caught.value.status in (400, 414, 416)


def test_parameters_reach_their_place() -> None:
    found = parse(
        "select=id,lines:order_items(*)&lines.quantity=gt.2&lines.order=quantity&lines.limit=5000&lines.offset=1"
        "&order_items.or=(quantity.lt.9)&not.and=(id.eq.1)&order=id&limit=7&offset=3&columns=x&on_conflict=y"
    )
    embed = found.selection.items[1]
    assert found.values == ["2", "1000", "1", "9", "1", "7", "3"]
    assert (embed.selection.limit, embed.selection.offset, len(embed.selection.where)) == (1, 2, 2)  # type: ignore[union-attr]
    assert found.selection.where[0].negated
    assert found.page == Page(3, 7)
    assert (found.selection.limit, found.selection.offset) == (5, 6)


def test_the_ceiling_is_no_part_of_the_values() -> None:
    assert parse("").values == []
    assert parse("limit=5000").values == ["1000"]
    assert parse("", page=Page(2, 5)).values == ["5", "2"]
    assert parse("limit=5000", max_rows=None).values == ["5000"]


def test_an_empty_order_is_none() -> None:
    assert parse("order=").selection.order == ()


def test_plus_is_a_space_and_pairs_keep_their_order() -> None:
    assert split_query(b"b=1+2&&a=%C3%A9&c") == [("b", "1 2"), ("a", "é"), ("c", "")]


def test_the_canonical_query() -> None:
    assert canonical_query([("b", "1"), ("a", "x y,é")]) == "a=x%20y%2C%C3%A9&b=1"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
OPERATORS = st.sampled_from(
    ["eq", "neq", "like", "in", "cs", "fts", "match", "isdistinct", "gt(any)", "wfts(simple)"]
)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(query: bytes) -> None:
    with suppress(*REFUSALS):
        parse(query)


@given(
    st.text(alphabet="ab.,:()!*->\"\\{}[]'$ nototandeqinis1", max_size=60),
    st.sampled_from(["select", "or", "order", "id", "a.order", "and", "not.or"]),
)
def test_grammar_shaped_text_parses_or_is_refused(text: str, name: str) -> None:
    with suppress(*REFUSALS):
        parse(urlencode({name: text}))


@given(OPERATORS, TEXT)
def test_values_are_bound_and_never_written(operator: str, value: str) -> None:
    secret = f"zqx{value}zqx"
    text = f"({secret})" if operator == "in" else secret
    found = parse(f"name={operator}.{quote(text)}&or=(name.eq.{quote(chr(34) + 'zqy' + chr(34))})")
    read = Read("public", "customers", found.selection)
    sql = Compiler(shop(), Exposure(mode="grants")).compile(read, role="x", anonymous=False).statement.text
    assert "zqx" not in sql
    assert "zqy" not in sql
    assert any("zqx" in one for one in found.values)


_QUOTED = re.compile(r"""E'(?:[^'\\]|''|\\\\)*'|'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


@given(TEXT)
def test_names_are_quoted(name: str) -> None:
    """Whatever a client calls a column, the SQL is one SELECT with that one name."""
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    query = urlencode({"select": f"x:{quoted},profile->{quoted}", "order": quoted})
    try:
        found = parse(query)
        read = Read("public", "customers", found.selection)
        sql = (
            Compiler(shop(), Exposure(mode="grants")).compile(read, role="x", anonymous=False).statement.text
        )
    except (*REFUSALS, QueryProblem):
        return
    without = _QUOTED.sub(lambda found: "I" if found[0].startswith('"') else "S", sql)
    assert without == (
        "SELECT NULL::bigint, count(*), coalesce(json_agg(_row), S) FROM (SELECT I.I.I AS I, I.I.I->S AS I"
        " FROM I.I ORDER BY I.I.I) AS _row"
    )
