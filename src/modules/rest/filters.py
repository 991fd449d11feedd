"""Parse ``<column>=[not.]<operator>.<value>``.

    condition = [ "not." ] operation
    operation = "in.(" element *( "," element ) ")"
              / "is." ( "null" / "not_null" / "true" / "false" / "unknown" )
              / "isdistinct." value
              / ( "fts" / "plfts" / "phfts" / "wfts" ) [ "(" config ")" ] "." value
              / ( "neq" / "cs" / "cd" / "ov" / "sl" / "sr" / "nxr" / "nxl" / "adj" ) "." value
              / ( "eq" / "gt" / "gte" / "lt" / "lte" / "like" / "ilike" / "match" / "imatch" )
                [ "(any)" / "(all)" ] "." value
    element   = quoted / *( any but "," and ")" )

Values are texts that PostgreSQL converts; nothing here knows a column's type.
What follows the closing parenthesis of a list is not looked at, as in PostgREST.

Source: PostgREST 16, ``ApiRequest/QueryParams.hs``, ``pOpExpr``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from modules.query import Field, Filter, Is, IsValue, Operator, Quantifier
from modules.rest.cursor import Cursor
from modules.rest.errors import QueryStringRefused

MAX_LIST: Final = 10_000
"""Elements of one ``in`` list."""

OPERATOR_EXPECTED: Final = '"not" or operator (eq, gt, ...)'
_OPERATOR: Final = re.compile(
    r"(?P<list>in)\.\("
    r"|(?P<is>is)\."
    r"|(?P<plain>isdistinct|neq|cs|cd|ov|sl|sr|nxr|nxl|adj)\."
    r"|(?P<search>fts|plfts|phfts|wfts)(?:\((?P<config>\w*)\))?\."
    r"|(?P<quantified>eq|gte|gt|lte|lt|like|ilike|match|imatch)(?:\((?P<quantifier>any|all)\))?\."
)
_IS: Final = re.compile(r"null|not_null|true|false|unknown", re.IGNORECASE)
_ELEMENT: Final = re.compile(r"[^,)]*")

ReadValue: TypeAlias = Callable[[Cursor], str]
"""Takes a value: everything that is left, or up to the end of a term inside ``and=(…)``."""


def parse_filter(field: Field, text: str, values: list[str]) -> Filter | Is:
    """Return the condition ``text`` puts on ``field``; its value is appended to ``values``.

    Raises:
        QueryStringError: PGRST100.
    """
    return read_condition(Cursor(text, "filter"), field, values, Cursor.rest)


def is_filter(text: str) -> bool:
    """Say whether ``text`` is meant as a condition, where it might be the argument of a function."""
    return text.startswith(("not.", "in.")) or _OPERATOR.match(text) is not None


def read_condition(cursor: Cursor, field: Field, values: list[str], read: ReadValue) -> Filter | Is:
    """Take one condition at the cursor."""
    negated = cursor.take("not.")
    found = _OPERATOR.match(cursor.text, cursor.at)
    if found is None:
        cursor.refuse(OPERATOR_EXPECTED if not negated else "operator (eq, gt, ...)")
    if found["list"]:
        cursor.at = found.end() - 1
        return Filter(field, "in", _slot(values, _list(cursor)), negated)
    cursor.at = found.end()
    if found["is"]:
        return Is(field, _is_value(cursor), negated)
    if found["search"]:
        operator = cast("Operator", found["search"])
        return Filter(field, operator, _slot(values, read(cursor)), negated, config=found["config"] or None)
    operator = cast("Operator", found["plain"] or found["quantified"])
    value = read(cursor)
    if operator in ("like", "ilike"):
        value = value.replace("*", "%")
    quantifier = cast("Quantifier | None", found["quantifier"])
    return Filter(field, operator, _slot(values, value), negated, quantifier)


def _slot(values: list[str], value: str) -> int:
    values.append(value)
    return len(values) - 1


def _is_value(cursor: Cursor) -> IsValue:
    word = cursor.match(_IS)
    if word is None:
        cursor.refuse("isVal: (null, not_null, true, false, unknown)")
    return cast("IsValue", word.lower())


def _list(cursor: Cursor) -> str:
    """Take ``(a,"b c",d)`` and return it as an array literal; ``()`` is the empty array."""
    cursor.expect("(")
    cursor.spaces()
    elements = [_element(cursor)]
    while cursor.take(","):
        elements.append(_element(cursor))
        if len(elements) > MAX_LIST:
            raise QueryStringRefused(f"A list of the in operator has more than {MAX_LIST} elements.")
    cursor.expect(")")
    return "{}" if elements == [""] else array_literal(elements)


def _element(cursor: Cursor) -> str:
    start = cursor.at
    quoted = cursor.quoted()
    if quoted is not None and (cursor.at_end() or cursor.text[cursor.at] in ",)"):
        return quoted
    cursor.at = start
    return cursor.match(_ELEMENT) or ""


def array_literal(elements: list[str]) -> str:
    r"""Write an array as PostgreSQL reads it, every element quoted.

    >>> array_literal(["a", 'say "hi"', "c:\\"])
    '{"a","say \\"hi\\"","c:\\\\"}'
    """
    return "{" + ",".join('"' + e.replace("\\", "\\\\").replace('"', '\\"') + '"' for e in elements) + "}"
