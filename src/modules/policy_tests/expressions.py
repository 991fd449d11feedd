"""Which columns a policy compares with the caller, read from what PostgreSQL prints of its expression.

Nothing is decided by this: it says only which values the rows that are tried have to
have. Where it finds too little, the project states the columns in ``monohull.toml``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SUB: Final = ("sub",)
EMAIL: Final = ("email",)
PERSONAL: Final = (SUB, EMAIL)
TEAMS: Final = ("monohull.teams()",)
"""Stands for the teams of the platform, which are rows and no claim."""

_CAST: Final = re.compile(
    r"::(?:character varying|bit varying|double precision|timestamp with(?:out)? time zone"
    r"|time with(?:out)? time zone|(?:\"[^\"]+\"|\w+)(?:\.(?:\"[^\"]+\"|\w+))?)(?:\(\d+(?:,\d+)?\))?(?:\[\])*"
)
_NOISE: Final = re.compile(r"\bSELECT\b|\bARRAY\b|\bAS\s+(?:\"[^\"]+\"|\w+)", re.IGNORECASE)
_CALL: Final = re.compile(r"\(\)")
_FROM: Final = re.compile(
    r"(?:FROM|JOIN)\s+(?:\"([^\"]+)\"|(\w+))\.(?:\"([^\"]+)\"|(\w+))\s*(?:(?!(?:ON|WHERE|JOIN|LEFT|RIGHT|FULL|CROSS|INNER|NATURAL|GROUP|ORDER|LIMIT|UNION|AND|OR)\b)(\w+))?"
)
_NAME: Final = r'(?:(?:"[^"]+"|\w+)\.){0,2}(?:"[^"]+"|\w+)'
_CLAIMS: Final = r"(?:auth\.jwt\(\)|current_setting\s*'request\.jwt\.claims'(?:, true)?)"
_SOURCE: Final = (
    rf"(?:auth\.uid\(\)|auth\.email\(\)|monohull\.teams\(\)|{_CLAIMS}(?:\s*->>?\s*'[^']+')+"
    r"|current_setting\s*'request\.jwt\.claim\.\w+'(?:, true)?)"
)
_LISTED: Final = r"(?:ANY\s+|IN\s+)?(?:jsonb?_array_elements(?:_text)?\s*)?"
_COMPARED: Final = re.compile(
    rf"(?P<left>{_NAME})\s*(?:=|IN)\s*(?P<listed>{_LISTED})(?P<right_source>{_SOURCE})"
    rf"|(?P<left_source>{_SOURCE})\s*(?P<operator>=|\?)\s*(?P<right>{_NAME})"
)
_STEP: Final = re.compile(r"->>?\s*'([^']+)'")
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'|(?<![\w.])(-?\d+(?:\.\d+)?)(?![\w.])")


class Compared(Struct, frozen=True):
    """A column that is compared with something of the caller.

    Attributes:
        table: ``schema.name``, or None for the policy's own.
        column: Its name.
        claim: Path in the claims; `SUB` for ``auth.uid()``, `TEAMS` for ``monohull.teams()``.
        is_list: The claim holds a list that the column's value is looked for in.
    """

    table: str | None
    column: str
    claim: tuple[str, ...]
    is_list: bool = False


def flatten(expression: str) -> str:
    """Take casts, brackets and the words of scalar subqueries out, for matching alone.

    >>> flatten("(user_id = ( SELECT auth.uid() AS uid))")
    'user_id = auth.uid()'
    >>> flatten("(org = (((auth.jwt() -> 'app_metadata'::text) ->> 'org'::text))::uuid)")
    "org = auth.jwt() -> 'app_metadata' ->> 'org'"
    """
    text = _CAST.sub("", expression)
    text = _CALL.sub("\0", text)
    text = re.sub(r"[()\[\]]", " ", text).replace("\0", "()")
    text = _NOISE.sub(" ", text)
    return re.sub(r"\s+", " ", text).strip()


def compared_columns(expression: str) -> Iterator[Compared]:
    """Find the columns that stand beside ``auth.uid()``, a claim or ``monohull.teams()``."""
    flat = flatten(expression)
    aliases = _aliases(flat)
    for match in _COMPARED.finditer(flat):
        source = match["right_source"] or match["left_source"]
        name = match["left"] or match["right"]
        if "'" in name or name.lower() in ("true", "false", "null") or name[0].isdigit():
            continue
        table, column = _resolve(name, aliases)
        is_list = match["operator"] == "?" or "array_elements" in (match["listed"] or "")
        yield Compared(table, column, _claim(source), is_list)


def literals(expression: str) -> list[str]:
    """Return texts and numbers that are written in ``expression``, names of claims among them.

    >>> literals("((status = 'paid'::text) AND (level >= 3))")
    ['paid', '3']
    """
    return [
        (text.replace("''", "'") if text or not number else number)
        for text, number in _LITERAL.findall(expression)
    ]


def mentioned(expression: str) -> list[str]:
    """Return the literals of ``expression`` without the names of claims.

    >>> mentioned("(((auth.jwt() ->> 'kind'::text) = 'a'::text) OR (status = 'paid'::text))")
    ['a', 'paid']
    """
    return literals(_STEP.sub(" ", _CAST.sub("", expression)))


def _claim(source: str) -> tuple[str, ...]:
    if source.startswith("auth.uid"):
        return SUB
    if source.startswith("auth.email"):
        return EMAIL
    if source.startswith("monohull.teams"):
        return TEAMS
    old = re.match(r"current_setting\s*'request\.jwt\.claim\.(\w+)'", source)
    return (old[1],) if old else tuple(_STEP.findall(source))


def _aliases(flat: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for quoted_schema, schema, quoted_name, name, alias in _FROM.findall(flat):
        table = f"{quoted_schema or schema}.{quoted_name or name}"
        found[alias or quoted_name or name] = table
    return found


def _resolve(name: str, aliases: Mapping[str, str]) -> tuple[str | None, str]:
    *before, column = [part.strip('"') for part in re.findall(r'"[^"]+"|\w+', name)]
    if not before:
        return None, column
    return aliases.get(before[-1]), column


def referenced_tables(expressions: Iterable[str]) -> set[str]:
    """Return ``schema.name`` of the tables that subqueries read."""
    return {table for text in expressions for table in _aliases(flatten(text)).values()}
