"""How a type of PostgreSQL looks in JSON, as the data API sends and takes it.

Whatever is not a number, a boolean, a document, an array or a composite is sent
as the text that PostgreSQL itself writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.rest.description.facts import TypeFacts

Wire: TypeAlias = Literal["boolean", "integer", "number", "string", "json", "void", "record"]

VARIABLE_BYTES: Final = 4
"""``atttypmod`` of what has a length is so much larger than it."""

_WIRES: Final[dict[str, Wire]] = {
    "bool": "boolean",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "oid": "integer",
    "float4": "number",
    "float8": "number",
    "numeric": "number",
    "json": "json",
    "jsonb": "json",
    "hstore": "json",
    "void": "void",
    "record": "record",
    "anyelement": "json",
    "anyarray": "json",
    "any": "json",
}


def wire_of(kind: TypeFacts) -> Wire:
    """Return how a type that is neither array, domain, enumeration nor composite looks."""
    return _WIRES.get(kind.name, "string")


def under(types: Mapping[int, TypeFacts], number: int) -> TypeFacts:
    """Return the type, domains looked through."""
    kind = types[number]
    while kind.base is not None:
        kind = types[kind.base]
    return kind


def length_of(kind: TypeFacts, modifier: int) -> int | None:
    """Return the most characters or bits that ``character varying(40)`` and its like take."""
    if modifier < 0:
        return None
    if kind.name in ("varchar", "bpchar"):
        return modifier - VARIABLE_BYTES
    return modifier if kind.name in ("bit", "varbit") else None


def digits_of(kind: TypeFacts, modifier: int) -> tuple[int, int] | None:
    """Return how many digits ``numeric(10,2)`` has, and how many of them are behind the point."""
    if kind.name != "numeric" or modifier < 0:
        return None
    both = modifier - VARIABLE_BYTES
    scale = both & 0x7FF
    return both >> 16, scale - 0x800 if scale & 0x400 else scale
