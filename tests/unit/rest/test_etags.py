"""What If-Match and If-None-Match say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.rest.conditional_errors import ConditionInvalid
from modules.rest.etags import Conditions, conditions_of, strong_tag, weak_tag

OPAQUE = st.text(st.characters(codec="ascii", min_codepoint=0x21, exclude_characters='"\x7f'), max_size=20)


def said(name: bytes, *values: bytes) -> Conditions | None:
    return conditions_of({"headers": [(b"accept", b"*/*"), *((name, value) for value in values)]})


@pytest.mark.parametrize(
    ("values", "tags"),
    [
        ((b"*",), ("*",)),
        ((b'"a"',), ('"a"',)),
        ((b' "a" , W/"b,c" ,"" ',), ('"a"', 'W/"b,c"', '""')),
        ((b'"a"', b'"b"'), ('"a"', '"b"')),
    ],
)
def test_tags(values: tuple[bytes, ...], tags: tuple[str, ...]) -> None:
    assert said(b"if-match", *values) == Conditions(match=tags)
    assert said(b"if-none-match", *values) == Conditions(none_match=tags)


def test_without_a_condition() -> None:
    assert said(b"prefer", b"etag") is None


@pytest.mark.parametrize(
    "value",
    [b"", b"a", b'"a', b'a"', b'"a" "b"', b'*, "a"', b'w/"a"', b'"a b"', b",", b",".join([b'"a"'] * 101)],
)
def test_what_are_no_tags(value: bytes) -> None:
    for name in (b"if-match", b"if-none-match"):
        with pytest.raises(ConditionInvalid):
            said(name, value)


@given(st.lists(st.tuples(st.booleans(), OPAQUE), min_size=1, max_size=5))
def test_tags_are_read_as_they_were_written(given: list[tuple[bool, str]]) -> None:
    tags = tuple(f'{"W/" if is_weak else ""}"{text}"' for is_weak, text in given)
    assert said(b"if-match", ", ".join(tags).encode()) == Conditions(match=tags)


@given(st.binary(max_size=40))
def test_any_bytes_are_tags_or_refused(value: bytes) -> None:
    try:
        found = said(b"if-match", value)
    except ConditionInvalid:
        return
    assert found is not None
    assert found.match


def test_what_allows_a_write() -> None:
    tag, other = strong_tag(b"1"), strong_tag(b"2")
    assert tag != other
    assert Conditions(match=(tag, other)).allow_write(tag)
    assert not Conditions(match=(other, f"W/{tag}")).allow_write(tag)
    assert not Conditions(match=("*",)).allow_write(None)
    assert Conditions(match=("*",)).allow_write(tag)
    assert Conditions(none_match=("*",)).allow_write(None)
    assert not Conditions(none_match=("*",)).allow_write(tag)
    assert not Conditions(none_match=(f"W/{tag}",)).allow_write(tag)
    assert Conditions(none_match=(other,)).allow_write(tag)
    assert not Conditions(match=(tag,), none_match=(tag,)).allow_write(tag)


def test_what_is_known_already() -> None:
    tag = weak_tag(b"[]", [(b"content-type", b"application/json")])
    assert Conditions(none_match=(tag,)).know(tag)
    assert Conditions(none_match=(tag.removeprefix("W/"),)).know(tag)
    assert Conditions(none_match=("*",)).know(tag)
    assert not Conditions(match=(tag,)).know(tag)
    assert weak_tag(b"[]", [(b"content-type", b"text/csv")]) != tag
    assert weak_tag(b"[]", [(b"content-type", b"application/json"), (b"date", b"now")]) == tag
