"""Pieces of SQL: names, types, comparisons. No value a client sent is ever among them.

Values are parameters, ``$1`` for slot 0. What stands in the text itself is
quoted here: identifiers, the keys of JSON paths and the names of text search
configurations. Those three are part of a request's shape, and the latter two
have to be literals: an index on ``(data ->> 'sku')`` or on
``to_tsvector('english', body)`` is of no use to an expression with a parameter.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.query.ast import Filter, Operator, Step
    from modules.query.columns import Key
    from modules.query.plan.model import PlannedField, Source

COMPARISONS: Final[Mapping[Operator, str]] = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "LIKE",
    "ilike": "ILIKE",
    "match": "~",
    "imatch": "~*",
    "isdistinct": "IS DISTINCT FROM",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
}

TEXT_SEARCHES: Final[Mapping[Operator, str]] = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}

TYPE_WORDS: Final = frozenset(
    (
        "bigint",
        "bit",
        "bit varying",
        "boolean",
        "char",
        "character",
        "character varying",
        "dec",
        "decimal",
        "double precision",
        "float",
        "int",
        "integer",
        "interval",
        "nchar",
        "national character",
        "numeric",
        "real",
        "smallint",
        "time",
        "timestamp",
        "time with time zone",
        "time without time zone",
        "timestamp with time zone",
        "timestamp without time zone",
        "varchar",
    )
)
"""Types that SQL's grammar names by words; every other is an identifier and is quoted."""

IS_VALUES: Final[Mapping[str, str]] = {
    "null": "NULL",
    "not_null": "NOT NULL",
    "true": "TRUE",
    "false": "FALSE",
    "unknown": "UNKNOWN",
}


class Statement(Struct, frozen=True):
    """A compiled statement.

    Attributes:
        text: SQL with parameters ``$1`` …
        name: Names the text; equal texts have equal names.
        slots: The slots that its parameters take, in order.
    """

    text: str
    name: str
    slots: tuple[int, ...] = ()

    def choose(self, values: Sequence[str | bytes]) -> list[str | bytes]:
        """Return what to bind of a request's values."""
        return [values[slot] for slot in self.slots]


_QUOTED_OR_PARAMETER: Final = re.compile(
    r""""(?:[^"]|"")*"|E'(?:[^'\\]|''|\\\\)*'|'(?:[^']|'')*'|\$(?P<number>\d+)"""
)


def statement(text: str) -> Statement:
    """Name ``text``, and number its parameters anew: PostgreSQL refuses one that nothing uses.

    A slot may be left over: a second limit replaces the first, a count needs no order.

    >>> statement('SELECT 1 WHERE "$1" = $3 OR a = $2 OR b = $3').slots
    (2, 1)
    """
    slots: dict[int, int] = {}

    def renumber(found: re.Match[str]) -> str:
        if found["number"] is None:
            return found.group()
        return f"${slots.setdefault(int(found['number']) - 1, len(slots) + 1)}"

    text = _QUOTED_OR_PARAMETER.sub(renumber, text)
    name = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    return Statement(text, name, tuple(slots))


def identifier(name: str) -> str:
    """Quote a name.

    >>> identifier('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    r"""Quote a text constant, whatever ``standard_conforming_strings`` says.

    >>> literal("it's"), literal("a\\b")
    ("'it''s'", "E'a\\\\b'")
    """
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def parameter(slot: int) -> str:
    """Name the parameter of a slot."""
    return f"${slot + 1}"


def qualified(key: Key) -> str:
    """Quote a name with its schema."""
    return f"{identifier(key[0])}.{identifier(key[1])}"


def qualifier(source: Source | str) -> str:
    """Write a source as a column's prefix."""
    if isinstance(source, str):
        return identifier(source)
    if source.alias is None and source.rows is None:
        return qualified(source.key)
    return identifier(source.alias or source.key[1])


def field(planned: PlannedField) -> str:
    """Write a column, or a place inside one."""
    column = f"{qualifier(planned.source)}.{identifier(planned.name)}"
    if not planned.path:
        return column
    if planned.to_json:
        column = f"pg_catalog.to_jsonb({column})"
    return column + "".join(_step(step) for step in planned.path)


def _step(step: Step) -> str:
    arrow = "->>" if step.as_text else "->"
    return f"{arrow}{step.key}" if isinstance(step.key, int) else f"{arrow}{literal(step.key)}"


def cast(expression: str, type_name: str) -> str:
    """Cast ``expression`` to a type the client named.

    >>> cast("x", "Integer"), cast("x", "my type")
    ('CAST(x AS integer)', 'CAST(x AS "my type")')
    """
    folded = " ".join(type_name.lower().split())
    return f"CAST({expression} AS {folded if folded in TYPE_WORDS else identifier(folded)})"


def comparison(planned: PlannedField, asked: Filter, convert: Key | None = None) -> str:
    """Write a filter; its value is the parameter of its slot, which ``convert`` makes a domain of."""
    text = _comparison(planned, asked, convert)
    return f"NOT {text}" if asked.negated else text


def _comparison(planned: PlannedField, asked: Filter, convert: Key | None) -> str:
    left = field(planned)
    value = parameter(asked.slot)
    if (function := TEXT_SEARCHES.get(asked.operator)) is not None:
        return _text_search(left, planned, function, asked.config, value)
    if asked.operator == "in":
        return f"{left} = ANY ({value if convert is None else _converted(value, convert)})"
    operator = COMPARISONS[asked.operator]
    if asked.quantifier is not None:
        return f"{left} {operator} {asked.quantifier.upper()} ({value})"
    if convert is not None:
        value = f"{qualified(convert)}({value}::text)"
    return f"({left} {operator} {value})" if asked.operator == "isdistinct" else f"{left} {operator} {value}"


def _converted(values: str, convert: Key) -> str:
    converted = f"{qualified(convert)}(_value)"
    return f"ARRAY(SELECT {converted} FROM unnest({values}::text[]) AS _value)"  # noqa: S608  quoted names


def _text_search(left: str, planned: PlannedField, function: str, config: str | None, value: str) -> str:
    if config and config.isdigit():
        config = identifier(config)  # bare it would be the number of a configuration, and of none: an XX000
    with_config = f"{literal(config)}, " if config else ""
    is_vector = planned.base_type in (None, "tsvector") and not planned.path
    document = left if is_vector else f"to_tsvector({with_config}{left})"
    return f"{document} @@ {function}({with_config}{value})"
