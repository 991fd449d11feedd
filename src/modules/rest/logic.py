"""Parse ``and=(…)``, ``or=(…)`` and their negations.

    logic = "(" term *( "," term ) ")"
    term  = field "." condition / [ "not." ] ( "and" / "or" ) logic
    value = quoted / "{" *( any but braces ) "}" / *( any but "," and ")" )

Spaces are allowed around parentheses and commas. A value that holds a comma or
a parenthesis is quoted.

Source: PostgREST 16, ``ApiRequest/QueryParams.hs``, ``pLogicTree``.
"""

from __future__ import annotations

import re
from typing import Final, cast

from modules.query import Condition, Connective, Filter, Is, Logic
from modules.rest.cursor import Cursor
from modules.rest.errors import QueryStringError, QueryStringRefused
from modules.rest.filters import read_condition

MAX_DEPTH: Final = 32
"""Parentheses inside parentheses."""

MAX_TERMS: Final = 500
"""Conditions of one tree."""

TERM_EXPECTED: Final = "field name (* or [a..z0..9_$]), negation operator (not) or logic operator (and, or)"
_OPENING: Final = re.compile(r"(not\.)?(and|or) *(?=\()")
_ARRAY: Final = re.compile(r"\{[^{}]*\}")
_PLAIN: Final = re.compile(r"[^,)]*")


def parse_logic(connective: Connective, text: str, values: list[str], *, negated: bool = False) -> Logic:
    """Return the tree of a whole parameter; ``connective`` and ``negated`` come from its name.

    Raises:
        QueryStringError: PGRST100.
        QueryStringRefused: PGRST100, too deep or too long.
    """
    # the name is put in front, since PostgREST counts columns from there
    cursor = Cursor(connective + text, "logic tree", shown=text, at=len(connective))
    return Logic(connective, tuple(_terms(cursor, values, depth=1)), negated)


def _terms(cursor: Cursor, values: list[str], depth: int) -> list[Condition]:
    if depth > MAX_DEPTH:
        raise QueryStringRefused(f"A logic tree has more than {MAX_DEPTH} levels.")
    cursor.spaces()
    cursor.expect("(")
    terms: list[Condition] = []
    while True:
        cursor.spaces()
        terms.append(_term(cursor, values, depth))
        if len(terms) > MAX_TERMS:
            raise QueryStringRefused(f"A logic tree has more than {MAX_TERMS} conditions on one level.")
        cursor.spaces()
        if not cursor.take(","):
            break
    cursor.expect(")")
    return terms


def _term(cursor: Cursor, values: list[str], depth: int) -> Condition:
    if (opening := _OPENING.match(cursor.text, cursor.at)) is not None:
        cursor.at = opening.end()
        terms = _terms(cursor, values, depth + 1)
        return Logic(cast("Connective", opening[2]), tuple(terms), negated=opening[1] is not None)
    return _filter(cursor, values)


def _filter(cursor: Cursor, values: list[str]) -> Filter | Is:
    field = cursor.field(TERM_EXPECTED)
    cursor.spaces()
    if not cursor.take("."):
        cursor.refuse("delimiter (.)")
    return read_condition(cursor, field, values, _value)


def _value(cursor: Cursor) -> str:
    start = cursor.at
    quoted = cursor.quoted()
    if quoted is not None and (cursor.at_end() or cursor.text[cursor.at] in ",)"):
        return quoted
    cursor.at = start
    return cursor.match(_ARRAY) or cursor.match(_PLAIN) or ""


__all__ = ["MAX_DEPTH", "MAX_TERMS", "QueryStringError", "parse_logic"]
