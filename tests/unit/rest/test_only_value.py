"""The values of a query that differs from one before in its only value: the same as if it were read anew."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modules.rest.known import around_value, only_value, take_apart

PATH = b"/rest/v1/items"

NAMES = st.sampled_from(
    [b"id", b"a_b", b"not", b"eq", b"select", b"order", b"limit", b"and", b"a.b", b"id-1"]
)
VERBS = st.sampled_from(
    [b"eq.", b"not.eq.", b"not.not.eq.", b"gte.", b"lt.", b"like.", b"eq(any).", b"in.(", b""]
)
VALUES = st.one_of(
    st.binary(max_size=4),
    st.text("0123456789abcXYZ_.~-", max_size=6).map(str.encode),
    st.sampled_from([b"7", b"eq.5", b"not.eq.5", b"7&id=eq.8", b"8&limit=1", b"%20", b"&", b"=", b"a=eq.1"]),
)
PARAMETERS = st.tuples(NAMES, VERBS, VALUES)
QUERIES = st.lists(PARAMETERS, max_size=3).map(lambda given: b"&".join(n + b"=" + v + x for n, v, x in given))


@given(first=QUERIES, value=VALUES)
@example(first=b"id=eq.7", value=b"8")
@example(first=b"id=eq.7&limit=1", value=b"8&limit=1")
@example(first=b"select=a&id=not.eq.7", value=b"")
def test_another_value_is_read_as_if_all_were(first: bytes, value: bytes) -> None:
    pieces, values = take_apart(PATH, first)
    around = around_value(pieces)
    assert (around is not None) == (len(values) == 1)
    if around is None:
        return
    before, after = around
    assert before + values[0] + after == first
    other = before + value + after
    found = only_value(before, other, after)
    assert found is None or (pieces, found) == take_apart(PATH, other)


@given(first=QUERIES, second=QUERIES)
def test_another_query_is_read_as_if_it_were_alone(first: bytes, second: bytes) -> None:
    pieces, _ = take_apart(PATH, first)
    around = around_value(pieces)
    if around is not None:
        before, after = around
        found = only_value(before, second, after)
        assert found is None or (pieces, found) == take_apart(PATH, second)


@pytest.mark.parametrize("value", [b"7", b"a-b_c.d~e", b"00000000-0000-4000-8000-000000000007"])
def test_usual_values_are_found(value: bytes) -> None:
    assert only_value(b"id=eq.", b"id=eq." + value + b"&limit=1", b"&limit=1") == [value]


@pytest.mark.parametrize(
    "query", [b"id=eq.", b"id=eq.a%20b", b"id=neq.7", b"id=eq.7&limit=2", b"id=eq.7,8", b""]
)
def test_what_may_be_something_else_is_read(query: bytes) -> None:
    assert only_value(b"id=eq.", query, b"") is None


def test_what_stands_around_may_not_share_its_bytes() -> None:
    assert only_value(b"a=eq.1&id=eq.", b"a=eq.1&id=eq.", b"&id=eq.") is None
