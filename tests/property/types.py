"""Types of columns: random values, how they are written, and what their operators mean.

The meaning is told a second time here, in Python and as plainly as possible, so
that it can be held against what PostgreSQL and the compiler make of a request.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

Value: TypeAlias = Any
"""As `json.loads` reads it, numbers with a fraction as Decimal."""

SUBJECTS: Final = tuple(UUID(int=number) for number in range(1, 5))
LABELS: Final = ("low", "mid", "High one", "top")
"""Of the enum, in its order, which is not the alphabet's."""
WORDS: Final = ("red", "green", "blue", "sun", "moon")
TEXTS: Final = (
    "", "a", "A", "ab", "aB c", "null", "a,b", 'say "hi"', "(x)", "back\\slash", "100%", "under_score",
    "é ß", "日本", "a.b:c", "{x,y}", "*", "it's", "$1", "--", "%41", "a+b", "&=?#", "true", "-1", "z" * 40,
    " pad ", "🚀",
)  # fmt: skip
COMPARING: Final = ("eq", "neq", "gt", "gte", "lt", "lte", "isdistinct", "in")
SETS: Final = ("cs", "cd", "ov")
RANGES: Final = (*SETS, "sl", "sr", "nxr", "nxl", "adj")
SEARCHES: Final = ("fts", "plfts", "phfts", "wfts")
PATTERNS: Final = ("like", "ilike", "match", "imatch")


class Type(Struct, frozen=True):
    """A type of columns.

    Attributes:
        sql: As CREATE TABLE has it.
        draw: Make a random value.
        operators: Those that make sense for it.
        key: What values are compared by.
        write: A value as text PostgreSQL reads.
    """

    name: str
    sql: str
    draw: Callable[[Random], Value]
    operators: tuple[str, ...] = COMPARING
    key: Callable[[Value], Any] = lambda value: value
    write: Callable[[Value], str] = str
    is_ordered: bool = True
    is_number: bool = False


def write_bool(value: Value) -> str:
    return "true" if value else "false"


def write_array(value: Sequence[str]) -> str:
    return "{" + ",".join('"' + e.replace("\\", "\\\\").replace('"', '\\"') + '"' for e in value) + "}"


def write_json(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False)


def draw_range(rng: Random) -> str:
    low, high = rng.choice([None, *range(6)]), rng.choice([None, *range(6)])
    if low is not None and high is not None and low >= high:
        return "empty"
    return f"{'(' if low is None else '['}{'' if low is None else low},{'' if high is None else high})"


def bounds(text: str) -> tuple[float, float] | None:
    """Return the ends of a range of whole numbers, the second not included; None when it is empty."""
    if text == "empty":
        return None
    low, high = text[1:-1].split(",")
    return (float(low) if low else float("-inf"), float(high) if high else float("inf"))


def draw_document(rng: Random) -> Value:
    made: dict[str, Value] = {}
    if rng.random() < 0.8:
        made["city"] = rng.choice(["Rome", "Oslo", 'a "b"', ""])
    if rng.random() < 0.7:
        made["n"] = rng.randrange(-2, 4)
    if rng.random() < 0.6:
        made["in side"] = {"deep": rng.choice(["x", "y"])}
    if rng.random() < 0.6:
        made["list"] = [rng.randrange(3) for _ in range(rng.randrange(3))]
    return made


def draw_texts(rng: Random) -> list[str]:
    return [rng.choice(["a", "b", "c d", 'q"', ""]) for _ in range(rng.randrange(4))]


def draw_numeric(rng: Random) -> Decimal:
    return Decimal(rng.randrange(-400, 400)) / 4


def draw_timestamp(rng: Random) -> str:
    return f"20{rng.randrange(10, 30)}-0{rng.randrange(1, 9)}-1{rng.randrange(9)}T0{rng.randrange(9)}:30:00"


INT: Final = Type("int", "int", lambda rng: rng.randrange(-5, 6), is_number=True)
TYPES: Final[tuple[Type, ...]] = (
    INT,
    Type("bigint", "bigint", lambda rng: rng.choice([-(2**53) - 1, 0, 1, 2**60]), is_number=True),
    Type("numeric", "numeric(10,2)", draw_numeric, is_number=True),
    Type("text", 'text collate "C"', lambda rng: rng.choice(TEXTS), (*COMPARING, *PATTERNS)),
    Type(
        "words",
        'text collate "C"',
        lambda rng: " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 4))),
        (*COMPARING, *SEARCHES),
    ),
    Type("bool", "boolean", lambda rng: rng.random() < 0.5, write=write_bool),
    Type("date", "date", lambda rng: f"20{rng.randrange(10, 30)}-0{rng.randrange(1, 9)}-1{rng.randrange(9)}"),
    Type("timestamp", "timestamp", draw_timestamp),
    Type("uuid", "uuid", lambda rng: str(rng.choice(SUBJECTS))),
    Type("level", "{schema}.level", lambda rng: rng.choice(LABELS), key=LABELS.index),
    Type("texts", "text[]", draw_texts, ("eq", "neq", *SETS), write=write_array, is_ordered=False),
    Type("range", "int4range", draw_range, ("eq", "neq", *RANGES), is_ordered=False),
    Type("document", "jsonb", draw_document, ("eq", "neq", "cs", "cd"), write=write_json, is_ordered=False),
)  # fmt: skip


def holds(type_: Type, operator: str, left: Value, right: Value) -> bool | None:  # noqa: PLR0911  a table
    """Say what ``left operator right`` is; None is SQL's unknown. ``right`` is a list for ``in``."""
    if operator == "isdistinct":
        return (left is None) != (right is None) or (left is not None and left != right)
    if left is None:
        return False if operator == "in" and not right else None  # = ANY ('{}') is false
    if operator == "in":
        return any(type_.key(left) == type_.key(one) for one in right)
    if operator in PATTERNS:
        return matches(operator, left, right)
    if operator in SEARCHES:
        return finds(operator, left.split(), right)
    if type_.name == "range" and operator in RANGES:
        return relate(operator, bounds(left), bounds(right))
    if operator in SETS:
        return includes(operator, left, right)
    return compare(operator, type_.key(left), type_.key(right))


def compare(operator: str, left: Any, right: Any) -> bool:
    match operator:
        case "eq":
            return bool(left == right)
        case "neq":
            return bool(left != right)
        case "gt":
            return bool(left > right)
        case "gte":
            return bool(left >= right)
        case "lt":
            return bool(left < right)
        case _:
            assert operator == "lte", operator
            return bool(left <= right)


def matches(operator: str, text: str, pattern: str) -> bool:
    flags = re.IGNORECASE if operator in ("ilike", "imatch") else 0
    if operator in ("match", "imatch"):
        return re.search(pattern, text, flags) is not None
    made, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            made += re.escape(pattern[at])
        else:
            made += {"%": ".*", "*": ".*", "_": "."}.get(char, re.escape(char))
        at += 1
    return re.fullmatch(made, text, flags | re.DOTALL) is not None


def finds(operator: str, words: Sequence[str], query: str) -> bool:
    """Look for words; the configuration is ``simple``, which changes none."""
    if operator == "fts":
        return any(all(word in words for word in part.split("&")) for part in query.split("|"))
    asked = query.split()
    if operator == "phfts":
        return any(list(words[at : at + len(asked)]) == asked for at in range(len(words)))
    wanted = [word for word in asked if not word.startswith("-")]
    unwanted = [word[1:] for word in asked if word.startswith("-")]
    return all(word in words for word in wanted) and not any(word in words for word in unwanted)


def includes(operator: str, left: Value, right: Value) -> bool:
    if operator == "ov":
        return bool(set(left) & set(right))
    whole, part = (left, right) if operator == "cs" else (right, left)
    return contains(whole, part)


def contains(whole: Value, part: Value) -> bool:
    """Say whether a JSON value or an array contains another, as ``@>`` sees it."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and contains(whole[k], v) for k, v in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(w, p) for w in whole) for p in part)
    return bool(whole == part)


def relate(operator: str, a: tuple[float, float] | None, b: tuple[float, float] | None) -> bool:
    if operator == "cd":
        return relate("cs", b, a)
    if operator == "cs":
        return b is None or (a is not None and a[0] <= b[0] and b[1] <= a[1])
    if a is None or b is None:
        return False
    return {
        "ov": max(a[0], b[0]) < min(a[1], b[1]),
        "sl": a[1] <= b[0],
        "sr": a[0] >= b[1],
        "nxr": a[1] <= b[1],
        "nxl": a[0] >= b[0],
        "adj": b[0] == a[1] or b[1] == a[0],
    }[operator]
