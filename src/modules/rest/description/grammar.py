"""The grammar of the query string as JSON Schema: patterns for filters, ``select``, ``order`` and the rest.

A pattern says how a value is written so that it is surely understood. The grammar
has more (conditions of conditions, embeds in embeds, casts, aggregates, other
spellings of dates), which no pattern can say; descriptions name it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from modules.rest.description.wire import under

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modules.query import Catalog
    from modules.rest.description.facts import Column, RelationFacts, TypeFacts

Schema = dict[str, Any]

MAX_TERMS: Final = 9
"""Terms after the first that patterns of ``select`` and ``order`` show."""

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL: Final = re.compile(r"([\\^$.*+?()\[\]{}|/])")
_SPECIAL_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}

_DATE: Final = (
    r"[1-9][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE: Final = r"(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])"
_VALUES: Final = {
    "numeric": r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?",
    "float8": r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?",
    "float4": r"-?[0-9]{1,9}(?:\.[0-9]{1,6})?",
    "bool": r"(?:true|false)",
    "uuid": r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "date": _DATE,
    "timestamp": rf"{_DATE}(?:[T ]{_TIME})?",
    "timestamptz": rf"{_DATE}(?:T{_TIME}{_ZONE}?)?",
    "time": _TIME,
}
"""How values of a type are written in a filter."""
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "citext", "name"})
_UNORDERED: Final = frozenset({"json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle"})
_UNEQUAL: Final = frozenset({"json", "xml", "point", "polygon", "path"})
_RESERVED: Final = frozenset({"select", "order", "limit", "offset", "and", "or", "columns", "on_conflict"})

OPERATORS: Final = (
    "`eq` `neq` `gt` `gte` `lt` `lte` `isdistinct` compare, `in.(a,b)` is one of a list, "
    "`is.null` `is.not_null` `is.true` `is.false` `is.unknown` are about null and truth; "
    "`like` `ilike` (with `*`) `match` `imatch` and `fts` `plfts` `phfts` `wfts` search texts; "
    "`cs` `cd` `ov` compare arrays, ranges and documents, `sl` `sr` `nxr` `nxl` `adj` ranges. "
    "`not.` in front negates; `eq(any).{a,b}` and `(all)` compare with several values."
)


def written(name: str) -> str:
    r"""Return a name as it stands in a query string.

    >>> written("id"), written('say "hi"'), written("a.b")
    ('id', '"say \\"hi\\""', '"a.b"')
    """
    if _PLAIN_NAME.fullmatch(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_filtered_by(name: str) -> bool:
    """Say whether a column can be a parameter of its own; others go into ``and``."""
    return name not in _RESERVED and not name.endswith(tuple(f".{one}" for one in _RESERVED))


def filter_schema(kind: TypeFacts) -> Schema:
    """Return the schema of filters of a type, domains looked through."""
    group = group_of(kind)
    absent = r"is\.(?:null|not_null)"
    if group == "other":
        return {
            "type": "string",
            "description": f"A condition on a value of another type. {OPERATORS}",
            "pattern": f"^(?:not\\.)?{absent}$",
            "examples": ["is.null", "not.is.null"],
        }
    if group == "text":
        pattern = (
            r"(?:eq|neq|gt|gte|lt|lte|isdistinct|plfts|phfts|wfts)\.[^\u0000]*"
            r"|(?:like|ilike)\.[^\\\u0000]*|(?:match|imatch)\.[A-Za-z0-9 ]+"
            r"""|in\.\((?:[^\u0000\s,()"\\]+(?:,[^\u0000\s,()"\\]+){0,9})?\)"""
        )
        examples = ["eq.some text", "ilike.*part*", "in.(one,two)"]
    elif group == "enum":
        labels = "|".join(map(_escaped, kind.labels or ()))
        pattern = rf"(?:eq|neq|gt|gte|lt|lte|isdistinct)\.(?:{labels})"
        examples = [f"eq.{label}" for label in (kind.labels or ())[:2]]
    else:
        value = _value(group)
        more = "|is\\.(?:true|false|unknown)" if group == "bool" else ""
        pattern = rf"(?:eq|neq|gt|gte|lt|lte|isdistinct)\.{value}|in\.\({value}(?:,{value}){{0,9}}\){more}"
        examples = _EXAMPLES.get(group, ["gt.1", "in.(1,2,3)"])
    return {
        "type": "string",
        "description": f"A condition: `[not.]operator.value`. {OPERATORS}",
        "pattern": f"^(?:not\\.)?(?:{pattern}|{absent})$",
        "examples": examples,
    }


def equal_pattern(kind: TypeFacts) -> str:
    """Return the pattern of ``eq`` and a value of a type."""
    group = group_of(kind)
    if group in ("text", "other"):
        return "^eq\\.[^\\u0000]*$"
    if group == "enum":
        return f"^eq\\.(?:{'|'.join(map(_escaped, kind.labels or ()))})$"
    return f"^eq\\.{_value(group)}$"


_EXAMPLES: Final = {
    "bool": ["is.true", "eq.false"],
    "uuid": ["eq.00000000-0000-4000-8000-000000000001"],
    "date": ["gte.2026-01-01"],
    "timestamp": ["gte.2026-01-01T00:00:00"],
    "timestamptz": ["gte.2026-01-01T00:00:00Z"],
    "time": ["lt.12:00:00"],
}


def select_pattern(columns: Sequence[Column], embeds: Iterable[str], types: Mapping[int, TypeFacts]) -> str:
    """Return the pattern of ``select``: columns, with alias or as text, and one whole embed."""
    names = "|".join(["\\*", *(_escaped(written(one.name)) for one in columns)])
    alias = "(?:[a-z][a-z0-9_]{0,15}:)?"
    texts = "|".join(
        _escaped(written(one.name)) for one in columns if under(types, one.type).kind in ("base", "enum")
    )
    items = [names, *([f"{alias}(?:{texts})::text"] if texts else [])]
    item = f"(?:{'|'.join(items)})"
    some = f"{item}(?:,{item}){{0,{MAX_TERMS}}}"
    wholes = "|".join(map(_escaped, embeds))
    if not wholes:
        return f"^(?:{some})?$"
    embed = f"{alias}(?:{wholes})(?:!inner|!left)?\\(\\*\\)"
    return f"^(?:{some}(?:,{embed})?|{embed})?$"


def order_pattern(columns: Sequence[Column], types: Mapping[int, TypeFacts]) -> str | None:
    """Return the pattern of ``order``; None where there is nothing to order by."""
    names = [_escaped(written(one.name)) for one in columns if under(types, one.type).name not in _UNORDERED]
    if not names:
        return None
    term = f"(?:{'|'.join(names)})(?:\\.(?:asc|desc))?(?:\\.(?:nullsfirst|nullslast))?"
    return f"^(?:{term}(?:,{term}){{0,{MAX_TERMS}}})?$"


def columns_pattern(demanded: Sequence[Column], others: Sequence[Column]) -> str:
    """Return the pattern of ``columns``: all that have to be given, and any others that may be null."""
    first = ",".join(_escaped(written(one.name)) for one in demanded)
    rest = "|".join(_escaped(written(one.name)) for one in others)
    more = f"(?:,(?:{rest})){{0,{MAX_TERMS}}}" if rest else ""
    if first:
        return f"^{first}{more}$"
    return f"^(?:{rest}){more}$"


def logic_pattern(columns: Sequence[Column]) -> str:
    """Return the pattern of ``and`` and ``or``."""
    names = "|".join(_escaped(written(one.name)) for one in columns)
    term = f"(?:{names})\\.(?:not\\.)?is\\.(?:null|not_null)"
    return f"^\\({term}(?:,{term}){{0,{MAX_TERMS}}}\\)$"


def embeds_of(relation: RelationFacts, schema: str, catalog: Catalog, visible: frozenset[str]) -> list[str]:
    """Return how the relations are named that rows of this one can embed, each without ambiguity."""
    ways = [
        way
        for way in catalog.related((schema, relation.name))
        if way.function is None
        and way.target[0] == schema
        and way.target[1] in visible
        and not way.is_to_self
    ]
    by_target: dict[str, int] = {}
    for way in ways:
        by_target[way.target[1]] = by_target.get(way.target[1], 0) + 1
    found: dict[str, int] = {}
    for way in ways:
        name = written(way.target[1])
        if by_target[way.target[1]] > 1:
            hint = way.junction.key[1] if way.junction is not None else way.constraint
            name = f"{name}!{written(hint)}"
        found[name] = found.get(name, 0) + 1
    return [name for name, count in found.items() if count == 1]


def group_of(kind: TypeFacts) -> str:
    """Return what types are alike in filters; those of an enumeration are its own."""
    if kind.kind == "enum" and kind.labels:
        return "enum"
    if kind.element is not None or kind.kind != "base" or kind.name in _UNEQUAL:
        return "other"
    if kind.name in _TEXTS:
        return "text"
    return kind.name if kind.name in _VALUES or kind.name in _LIMITS else "other"


def _value(group: str) -> str:
    limits = _LIMITS.get(group)
    if limits is None:
        return _VALUES[group]
    return f"(?:{_up_to(limits[1])}|-{_up_to(limits[0])})" if limits[0] else _up_to(limits[1])


_LIMITS: Final = {
    "int2": (32768, 32767),
    "int4": (2**31, 2**31 - 1),
    "int8": (2**63, 2**63 - 1),
    "oid": (0, 2**32 - 1),
}
"""Least value without its sign, and largest."""


def _up_to(most: int) -> str:
    """Return the pattern of whole numbers from 0 to ``most``.

    >>> _up_to(327)
    '(?:[0-9]{1,2}|[0-2][0-9]{2}|3[0-1][0-9]|32[0-7])'
    """
    digits = str(most)
    last = len(digits) - 1
    parts = [f"[0-9]{{1,{last}}}"] if last else []
    for place, digit in enumerate(digits):
        top = int(digit) - (place < last)
        left = last - place
        if top < 0:
            continue
        rest = {0: "", 1: "[0-9]"}.get(left, f"[0-9]{{{left}}}")
        parts.append(f"{digits[:place]}[0-{top}]{rest}")
    return f"(?:{'|'.join(parts)})"


def _escaped(text: str) -> str:
    escaped = _SPECIAL.sub(r"\\\1", text)
    return "".join(_SPECIAL_ESCAPES.get(one, one) for one in escaped)
