"""A remembered shape means what parsing anew would have said, whatever came before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.query import QueryProblem
from modules.rest.parameters import Parameters, parse_parameters
from modules.rest.ranges import WHOLE, Page
from modules.rest.shapes import HOLE, MAX_SHAPE_BYTES, Shapes, split_values
from monohull.kernel.errors import Problem

QUERIES = (
    b"",
    b"id=eq.1",
    b"id=eq.2",
    b"id=eq.",
    b"id=eq.a%20b",
    b"id=eq.a+b",
    b"id=eq.%C3%BC",
    b'id=eq.a.b,c(d)"e',
    b"id=not.eq.1",
    b"id=not.not.eq.1",
    b"id=eq",
    b"id=eq(any).{1,2}",
    b"id=gt.1&id=lt.9",
    b"id=lt.1&id=gt.9",
    b"b=eq.1&a=eq.2&b=eq.3",
    b"select=*,items(*,products(*))&id=eq.5&items.qty=gt.1&items.products.name=neq.x&items.order=id",
    b"select=id&status=eq.paid&order=created_at.desc&limit=20",
    b"select=id&status=eq.paid&order=created_at.desc&limit=20&offset=40",
    b"select=id&limit=20&items.limit=5&select=other",
    b"order=eq.a",
    b"order=eq.desc",
    b"limit=eq.1",
    b"select=eq.1",
    b"sel%65ct=eq.1",
    b"columns=eq.1",
    b"on_conflict=eq.1",
    b"or=(a.eq.1,b.eq.2)",
    b"not.or=(a.eq.1,b.eq.2)",
    b"or=eq.1",
    b"items.or=eq.1",
    b"a=in.(1,2)&b=eq.1",
    b"a=is.null&b=eq.1",
    b"a=like.*x*&b=eq.1",
    b"a=fts(english).x&b=eq.1",
    b"data->a->>b=eq.1",
    b"%22a%22=eq.1",
    b"=eq.1",
    b"a.=eq.1",
    b"a=eq.1&&b=eq.2&",
    b"a=eq.%00",
    b"a=eq.%ff",
    b"a=eq.\xff",
    b"missing.a=eq.1",
    b"a=eq.\x00",
    b"a=eq.\x00&b=eq.1",
)


def outcome(parse: object) -> object:
    try:
        return parse()  # type: ignore[operator]
    except Problem as problem:
        return (type(problem), problem.message, problem.details, problem.hint)


@pytest.mark.parametrize("takes_arguments", [False, True])
@pytest.mark.parametrize("max_rows", [None, 10])
def test_three_times_the_same(max_rows: int | None, takes_arguments: bool) -> None:
    shapes = Shapes()
    for _ in range(3):
        for query in QUERIES:
            wanted = outcome(
                lambda query=query: parse_parameters(
                    query, range_page=WHOLE, max_rows=max_rows, takes_arguments=takes_arguments
                )
            )
            found = outcome(
                lambda query=query: shapes.parse(query, max_rows=max_rows, takes_arguments=takes_arguments)
            )
            assert found == wanted, query
    assert len(shapes) > 10


TEXT = st.text(alphabet="ab.,()*\"'%+&=ü\\ 0", max_size=8)
PART = st.one_of(
    st.tuples(
        st.sampled_from(["id", "items.qty", "a->>b", "order", "or", "limit"]),
        st.sampled_from(["eq.", "not.gt.", "lt.", "neq", "like.", "in.", "is.", "eq(any).", ""]),
        TEXT,
    ).map(lambda three: f"{three[0]}={three[1]}{three[2]}"),
    TEXT,
)


@given(st.lists(st.lists(PART, max_size=4).map("&".join), min_size=1, max_size=6))
def test_any_text_means_the_same(queries: list[str]) -> None:
    shapes = Shapes()
    for text in [*queries, *queries]:
        query = ("select=*,items(*)&" + text).encode()
        wanted = outcome(lambda query=query: parse_parameters(query, range_page=WHOLE, max_rows=5))
        assert outcome(lambda query=query: shapes.parse(query, max_rows=5)) == wanted


def test_values_are_not_shared() -> None:
    shapes = Shapes()
    shapes.parse(b"id=eq.1")
    first, second = shapes.parse(b"id=eq.2"), shapes.parse(b"id=eq.3")
    assert (first.values, second.values) == (["2"], ["3"])
    assert first.selection is second.selection
    first.values.append("x")
    assert shapes.parse(b"id=eq.4").values == ["4"]


def test_settings_are_part_of_the_shape() -> None:
    shapes = Shapes()
    assert shapes.parse(b"limit=50", max_rows=10).page == Page(0, 10)
    assert shapes.parse(b"limit=50", max_rows=None).page == Page(0, 50)
    assert shapes.parse(b"limit=50", max_rows=10, range_page=Page(0, 3)).page == Page(0, 3)
    assert shapes.parse(b"limit=50", max_rows=10).page == Page(0, 10)


def test_what_is_kept_is_bounded() -> None:
    shapes = Shapes(most=3)
    for number in range(10):
        shapes.parse(b"a%d=eq.1" % number)
    assert len(shapes) == 3
    shapes.parse(b"a=in.(" + b"1," * MAX_SHAPE_BYTES + b"1)")
    assert len(shapes) == 3


def test_a_query_that_is_refused_is_not_kept() -> None:
    shapes = Shapes()
    for _ in range(2):
        with pytest.raises((QueryProblem, Problem)):
            shapes.parse(b"id=nonsense.1")
    assert len(shapes) == 0


def test_a_query_cannot_pretend_to_be_a_shape() -> None:
    constants, given_values = split_values(b"id=eq.5")
    assert (constants, given_values) == (b"id=eq." + HOLE, [b"5"])
    shapes = Shapes()
    shapes.parse(b"id=eq.5")
    with pytest.raises(Problem):
        shapes.parse(b"id=like." + HOLE)
    with pytest.raises(Problem):
        shapes.parse(b"id=eq." + HOLE)


def test_parameters_are_equal_by_value() -> None:
    assert isinstance(Shapes().parse(b"id=eq.1"), Parameters)
