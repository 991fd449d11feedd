"""Candidates for the value of a column: by name, type, and what its checks mention.

Only guesses come from here. PostgreSQL is asked which of them a check accepts.
"""

from __future__ import annotations

import re
import string
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final
from uuid import UUID

from modules.policy_tests.expressions import literals
from modules.policy_tests.patterns import like, matching
from monohull.kernel.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.policy_tests.catalog import Column

_PLAIN: Final = {
    "json": "{}",
    "jsonb": "{}",
    "xml": "<x/>",
    "bytea": "\\x00",
    "interval": "1 hour",
    "time": "12:00",
    "timetz": "12:00+00",
    "money": "1",
    "inet": "192.0.2.1",
    "cidr": "192.0.2.0/24",
    "macaddr": "00:00:5e:00:53:01",
    "macaddr8": "00:00:5e:ff:fe:00:53:01",
    "point": "(1,1)",
    "line": "{1,1,1}",
    "lseg": "[(0,0),(1,1)]",
    "box": "(1,1),(0,0)",
    "path": "[(0,0),(1,1)]",
    "polygon": "((0,0),(1,1),(1,0))",
    "circle": "<(0,0),1>",
    "tsvector": "word",
    "tsquery": "word",
    "hstore": "",
    "ltree": "a",
    "citext": "text",
    "vector": "[1]",
    "geometry": "POINT(1 1)",
    "geography": "POINT(1 1)",
    "oid": "1",
    "pg_lsn": "0/1",
}
_OF_CATEGORY: Final = {"A": ("{}",), "B": ("true", "false"), "R": ("empty", "(,)"), "C": ("()",)}
_INTEGERS: Final = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**53}
_REGEX: Final = re.compile(r"~\*?\s*\(?'((?:[^']|'')*)'")
_LIKE: Final = re.compile(r"(?<!!)~~\*?\s*\(?'((?:[^']|'')*)'")
_HINTS: Final = (
    ("email", "{token}@example.com"),
    ("url", "https://example.com/{token}"),
    ("phone", "+49155{digits}"),
    ("slug", "{token}"),
    ("country", "DE"),
    ("currency", "EUR"),
    ("locale", "en"),
    ("timezone", "Europe/Berlin"),
)


def seeded(seed: str) -> Random:
    """Return numbers that are the same in every run, so that a matrix depends on nothing else."""
    return Random(seed)  # noqa: S311 nothing here is secret


def candidates(column: Column, checks: Sequence[str], random: Random) -> Iterator[str]:
    """Give values for ``column`` as text, the likeliest first."""
    for value in _raw(column, checks, random):
        if column.category == "S" and column.size is not None and len(value) > column.size:
            yield value[-column.size :]
        else:
            yield value


def _raw(column: Column, checks: Sequence[str], random: Random) -> Iterator[str]:
    if column.labels:
        yield from column.labels
    elif column.base == "uuid":
        yield str(UUID(int=random.getrandbits(128), version=4))
    elif column.base in _PLAIN and column.category != "S":
        yield _PLAIN[column.base]
    elif column.category in _OF_CATEGORY:
        yield from _OF_CATEGORY[column.category]
        yield from (f"{{{value}}}" for text in checks for value in literals(text) if column.category == "A")
    elif column.category == "V":
        yield "0" * (column.size or 1)
    elif column.category == "N":
        yield from _numbers(column, checks, random)
    elif column.category == "D":
        yield from _times(checks)
    else:
        yield from _texts(column, checks, random)


def _numbers(column: Column, checks: Sequence[str], random: Random) -> Iterator[str]:
    most = _INTEGERS.get(column.base, 10**6)
    if column.size is not None:
        most = max(10**column.size - 1, 0)
    mentioned = [float(text) for check in checks for text in literals(check) if _is_number(text)]
    yield str(random.randint(min(most, 1000), min(most, 2**31 - 1)) if not mentioned else min(most, 1))
    for number in mentioned:
        yield from (_number(number), _number(number + 1), _number(number - 1))
    for low in mentioned:
        yield from (_number(random.randint(int(low), int(high))) for high in mentioned if high > low)
    yield from ("0", "1", "-1")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(?:\.\d+)?", text) is not None


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _times(checks: Sequence[str]) -> Iterator[str]:
    moment = now().replace(microsecond=0)
    yield from ((moment + timedelta(days=days)).isoformat() for days in (-1, 1, 0, 30, -365, 365))
    yield from (value for text in checks for value in literals(text))


def _texts(column: Column, checks: Sequence[str], random: Random) -> Iterator[str]:
    token = "t" + "".join(random.choices(string.ascii_lowercase + string.digits, k=9))
    digits = "".join(random.choices(string.digits, k=8))
    for word, shape in _HINTS:
        if word in column.name.lower():
            yield shape.format(token=token, digits=digits)
    yield token
    for check in checks:
        yield from (like(pattern.replace("''", "'"), random) for pattern in _LIKE.findall(check))
        yield from _matching(check, random)
        yield from literals(check)
    yield from (token[-length:] for length in range(1, 9))
    yield from (token * times for times in (2, 4, 8, 16))
    yield from (token.upper(), digits, "", "1", "{}", "en", "DE")


def _matching(check: str, random: Random) -> Iterator[str]:
    for pattern in _REGEX.findall(check):
        for _ in range(3):
            try:
                yield matching(pattern.replace("''", "'"), random)
            except (ValueError, IndexError):
                break
