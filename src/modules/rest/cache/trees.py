"""What an expression of a policy reads beside its row: by the tree that PostgreSQL made of it. Pure.

Only trees are understood that are made of nodes, functions and types known here to depend on the row, on
constants and on claims. Of anything else a reason is given: then no answer is kept that it decided about.

Source: PostgreSQL, "Node Trees" (``pg_node_tree``), ``pg_proc``; oids below 16384 are the server's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_OWN_OID: Final = 16384

Claims: TypeAlias = frozenset[str] | Literal["all"]
"""Names of claims, or all of them."""

_CLAIMS_SETTING: Final = "request.jwt.claims"
_NODES: Final = frozenset(
    (
        *("VAR", "CONST", "OPEXPR", "FUNCEXPR", "BOOLEXPR", "NULLTEST", "BOOLEANTEST", "DISTINCTEXPR"),
        *("NULLIFEXPR", "SCALARARRAYOPEXPR", "ARRAY", "ARRAYEXPR", "CASE", "CASEEXPR", "WHEN", "CASEWHEN"),
        *("CASETESTEXPR", "COALESCE", "COALESCEEXPR", "ROW", "ROWEXPR", "RELABELTYPE", "COERCEVIAIO"),
        *("ARRAYCOERCEEXPR", "COLLATE", "COLLATEEXPR", "FIELDSELECT", "SUBSCRIPTINGREF", "NAMEDARGEXPR"),
        # a sub-select without tables, as in (select auth.uid())
        *("SUBLINK", "QUERY", "FROMEXPR", "TARGETENTRY", "TARGETENTRYEXPR"),
    )
)
"""By the names of all majors; tables of a sub-select would be RTE or RANGETBLENTRY."""
_TIMES: Final = frozenset({1082, 1083, 1114, 1184, 1266, 1182, 1115, 1185, 1183, 1270})
"""Dates and times and arrays of them: ``'now'::text::timestamptz`` is another one each time."""

_NODE: Final = re.compile(r"(?<!\\)\{([A-Z_]+)")
_CALL: Final = re.compile(r" :(?:funcid|opfuncid) (\d+)")
_RESULT: Final = re.compile(r"\{(?:COERCEVIAIO|ARRAYCOERCEEXPR)\b.*? :resulttype (\d+)", re.DOTALL)
_SETTING: Final = re.compile(
    r"\{FUNCEXPR :funcid (?:2077|3294) [^{}]*?:args \(\{CONST :consttype 25 [^{}]*?"
    r":constisnull false [^{}]*?:constvalue \d+ \[ ([-\d ]+) \]\}"
)
"""``current_setting`` of a constant, whose bytes follow the four of its length."""
_SETTING_CALL: Final = re.compile(r"\{FUNCEXPR :funcid (?:2077|3294) ")
_CURRENT_SETTING: Final = frozenset({2077, 3294})
_LENGTH_BYTES: Final = 4


class Function(Struct, frozen=True):
    """A function, as far as it matters here; ``claims`` are those that it gives, where it is known to."""

    name: str
    is_immutable: bool
    claims: Claims | None = None


class Reading(Struct, frozen=True):
    """What is read beside the row; ``why`` says what cannot be told, or is None."""

    claims: Claims = frozenset()
    why: str | None = None


def functions_in(tree: str) -> frozenset[int]:
    """Return the oids of the functions that a tree calls."""
    return frozenset(int(oid) for oid in _CALL.findall(tree))


def read_tree(tree: str, functions: Mapping[int, Function]) -> Reading:
    """Return what the expression reads; ``functions`` are those that exist."""
    unknown = sorted({name for name in _NODE.findall(tree) if name not in _NODES})
    if unknown:
        is_select = bool({"RTE", "RANGETBLENTRY"} & set(unknown))
        return Reading(why="it reads other tables" if is_select else f"it contains {', '.join(unknown)}")
    for oid in map(int, _RESULT.findall(tree)):
        if oid in _TIMES or oid >= FIRST_OWN_OID:
            return Reading(why="it converts to a type whose values may depend on more")
    claims: Claims = frozenset()
    for oid in sorted(functions_in(tree)):
        if oid in _CURRENT_SETTING:
            if not _reads_claims_alone(tree):
                return Reading(why=f"it reads settings other than {_CLAIMS_SETTING}")
            claims = "all"
            continue
        function = functions.get(oid)
        if function is not None and function.claims is not None:
            claims = join_claims(claims, function.claims)
        elif function is None or oid >= FIRST_OWN_OID or not function.is_immutable:
            name = f"function {oid}" if function is None else function.name
            return Reading(why=f"it calls {name}, which may depend on more than the row and the claims")
    return Reading(claims)


def join_claims(one: Claims, other: Claims) -> Claims:
    """Return the claims of both."""
    return "all" if one == "all" or other == "all" else frozenset(one) | frozenset(other)


def _reads_claims_alone(tree: str) -> bool:
    found = [_text(numbers) for numbers in _SETTING.findall(tree)]
    return len(found) == len(_SETTING_CALL.findall(tree)) and set(found) == {_CLAIMS_SETTING}


def _text(numbers: str) -> str:
    """Return the text of a constant, given as its bytes are written.

    >>> _text("24 0 0 0 97 98")
    'ab'
    """
    data = bytes(int(number) % 256 for number in numbers.split())
    return data[_LENGTH_BYTES:].decode("utf-8", "replace")
