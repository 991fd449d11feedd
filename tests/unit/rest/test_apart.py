"""Bodies that are taken apart by a pattern: the same values as if they were read, or none at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modules.rest.apart import MAX_BETWEEN_BYTES, MAX_COLUMNS, learn_body, take_values

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["a:b", ":7,", "é", "7", "true", "null", ' "', "{}", "\x7f", "a\\"]),
)
LAYERS = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=3), SCALARS))
KEYS = st.sampled_from(["a", "b", 'c"', "d\\", "é", "a:b", "{", ":1", ""])
OBJECTS = st.dictionaries(KEYS, st.one_of(SCALARS, LAYERS), min_size=1, max_size=4)
STYLES = st.sampled_from(
    [
        {},
        {"separators": (",", ":")},
        {"indent": 1},
        {"ensure_ascii": False},
        {"separators": (" ,\t", " :\r\n")},
    ]
)


def meant(value: Any, given: bytes | None) -> Any:
    """Return what a value that was taken apart means, for the type that ``value`` has."""
    if given is None:
        return None
    return given.decode() if isinstance(value, str) else json.loads(given)


@given(first=OBJECTS, second=OBJECTS, style=STYLES)
@example(first={"a": "x"}, second={"a": "y"}, style={})
@example(first={"a": None, "b": 1}, second={"a": None, "b": 2}, style={})
@example(first={"a": ":1", "b": 1}, second={"a": ":2", "b": 2}, style={"separators": (",", ":")})
def test_values_are_those_of_the_object(first: dict[str, Any], second: dict[str, Any], style: Any) -> None:
    pattern = learn_body(json.dumps(first, **style).encode(), [False] * len(first))
    if pattern is None:
        return
    values = take_values(pattern, json.dumps(second, **style).encode())
    if values is not None:
        assert list(second) == list(first)
        assert [meant(*one) for one in zip(second.values(), values, strict=True)] == list(second.values())


@given(first=OBJECTS, second=OBJECTS, style=STYLES)
@example(first={"a": {"b": [1]}}, second={"a": {}}, style={})
@example(first={"a": {"b": 1}}, second={"a": {"c": "}", "d": 2}}, style={})
@example(first={"a": "x"}, second={"a": "y"}, style={})
def test_documents_are_as_they_are_written(first: dict[str, Any], second: dict[str, Any], style: Any) -> None:
    pattern = learn_body(json.dumps(first, **style).encode(), [True] * len(first))
    values = None if pattern is None else take_values(pattern, json.dumps(second, **style).encode())
    if values is not None:
        assert list(second) == list(first)
        assert [None if one is None else json.loads(one) for one in values] == list(second.values())


@pytest.mark.parametrize(
    ("learnt", "body", "values"),
    [
        (b'{"a": 1}', b'{"a": 12.50}', [b"12.50"]),
        (b'{"a": 1}', b'{"a": -7}', [b"-7"]),
        (b'{"a": 1}', b'{"a": 0}', [b"0"]),
        (b'{"a": 1}', b'{"a": 1e2}', None),
        (b'{"a": 1}', b'{"a": -0}', None),
        (b'{"a": 1}', b'{"a": -0.0}', None),
        (b'{"a": 1}', b'{"a": 01}', None),
        (b'{"a": 1}', b'{"a": 1.}', None),
        (b'{"a": 1}', b'{"a": "1"}', None),
        (b'{"a": 1}', b'{"a": null}', None),
        (b'{"a": 1}', b'{"a":1}', None),
        (b'{"a": 1}', b'{"b": 1}', None),
        (b'{"a": 1}', b'{"a": 1, "b": 2}', None),
        (b'{"a": 1}', b'[{"a": 1}]', None),
        (b'{"a": 1}', b'{"a": 1}\n', None),
        (b'{"a": "x"}', b'{"a": ""}', [b""]),
        (b'{"a": "x"}', '{"a": "\u00e9"}'.encode(), ["\u00e9".encode()]),
        (b'{"a": "x"}', b'{"a": "\xe9"}', None),
        (b'{"a": "x"}', b'{"a": "\xed\xa0\x80"}', None),
        (b'{"a": "x"}', b'{"a": "\\u0041"}', None),
        (b'{"a": "x"}', b'{"a": "\n"}', None),
        (b'{"a": "x"}', b'{"a": "\x00"}', None),
        (b'{"a": "x"}', b'{"a": "y", "a": "z"}', None),
        (b'{"a": true}', b'{"a": false}', [b"false"]),
        (b'{"a": null}', b'{"a": null}', [None]),
        (b'{"a": null, "b": 1}', b'{"a": null, "b": 2}', [None, b"2"]),
    ],
)
def test_what_is_taken_apart(learnt: bytes, body: bytes, values: list[bytes | None] | None) -> None:
    pattern = learn_body(learnt, [False] * learnt.count(b":"))
    assert pattern is not None
    assert take_values(pattern, body) == values


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "a": 1}',
        b'{"a": {}}',
        b'{"a": [1]}',
        b'{"a": "\\n"}',
        b'{"a": 1e2}',
        b"{}",
        b'{"a":%b1}' % (b" " * MAX_BETWEEN_BYTES),
        b'{"a": 1, "b": 2}',
    ],
)
def test_what_is_not(body: bytes) -> None:
    assert learn_body(body, [False]) is None


def test_more_columns_than_are_looked_for() -> None:
    names = [f"c{number}" for number in range(MAX_COLUMNS + 1)]
    for kept, is_learnt in ((names[1:], True), (names, False)):
        body = json.dumps(dict.fromkeys(kept, 1)).encode()
        assert (learn_body(body, [False] * len(kept)) is not None) == is_learnt


def test_what_is_malformed_is_told_in_time() -> None:
    """No two ways lead through a body, so one that nearly fits takes no longer than one that does."""
    pattern = learn_body(b'{"a": {"b": "x"}}', [True])
    assert pattern is not None
    for inner in (b"1 " * 8000, b'"b" ' * 4000, b'"' * 16001):
        assert take_values(pattern, b'{"a": {%b' % inner) is None
