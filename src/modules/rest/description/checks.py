"""Constraints and defaults of a column → keywords of JSON Schema, where they are simple enough.

A constraint is a conjunction; each part that is understood is said, and the others
are left to the database. So what is said always holds, and is not always all.

    length(name) >= 1 AND length(name) <= 200        minLength 1, maxLength 200
    price >= 0                                       minimum 0
    status = ANY (ARRAY['paid', 'shipped'])          enum
    country ~ '^[A-Z]{2}$'                           pattern, where both dialects agree on it
    email LIKE '%_@_%'                               pattern
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CAST: Final = r"(?:::[\w .\"]+(?:\(\d+(?:,\d+)?\))?(?:\[\])?)?"
_SUBJECT: Final = rf'\(?(?:VALUE|\w+|"(?:[^"]|"")+")\)?{_CAST}'
_LENGTH: Final = re.compile(
    rf"(?:length|char_length|character_length)\({_SUBJECT}\) (?P<operator><=|>=|<|>|=) (?P<number>\d+)"
)
_BOUND: Final = re.compile(
    rf"{_SUBJECT} (?P<operator><=|>=|<|>) \(?'?(?P<number>-?\d+(?:\.\d+)?)'?\)?{_CAST}"
)
_ONE_OF: Final = re.compile(rf"{_SUBJECT} = ANY \(\(?ARRAY\[(?P<items>.*)\]\)?{_CAST}\)", re.DOTALL)
_REGEX: Final = re.compile(rf"{_SUBJECT} ~ '(?P<regex>(?:[^']|'')*)'{_CAST}")
_LIKE: Final = re.compile(rf"{_SUBJECT} ~~ '(?P<like>[^'\\]*)'{_CAST}")
_NOT_EMPTY: Final = re.compile(rf"{_SUBJECT} <> ''{_CAST}")
_ITEM: Final = re.compile(rf"'(?P<text>(?:[^']|'')*)'{_CAST}|\(?(?P<number>-?\d+(?:\.\d+)?)\)?{_CAST}")
_PORTABLE: Final = re.compile(r"(?:[\w\s^$.*+?()\[\]{}|,@:;/#&=!%~<>'\"-]|\\[.d/()\[\]{}+*?^$|-])*")
_CONSTANT: Final = re.compile(
    r"'(?P<text>(?:[^']|'')*)'::(?P<type>.+)|\(?(?P<plain>-?\d+(?:\.\d+)?|true|false)\)?"
)
_BOUNDS: Final = {"<=": "maximum", ">=": "minimum", "<": "exclusiveMaximum", ">": "exclusiveMinimum"}
_DOCUMENTS: Final = frozenset({"json", "jsonb"})


def keywords_of(checks: Iterable[str]) -> dict[str, Any]:
    """Return what ``checks`` say, each as ``pg_get_expr`` writes it.

    >>> keywords_of(["((length(name) >= 1) AND (length(name) <= 200))"])
    {'minLength': 1, 'maxLength': 200}
    >>> keywords_of(["(status = ANY (ARRAY['a'::text, 'it''s'::text]))", "(lower(status) = status)"])
    {'enum': ['a', "it's"]}
    """
    found: dict[str, Any] = {}
    for check in checks:
        for term in _terms(check):
            for keyword, value in _keywords(term):
                if keyword == "pattern" and keyword in found:
                    found.setdefault("allOf", []).append({"pattern": value})
                elif keyword in found and keyword.startswith(("min", "exclusiveMin")):
                    found[keyword] = max(found[keyword], value)
                elif keyword in found and keyword.startswith(("max", "exclusiveMax")):
                    found[keyword] = min(found[keyword], value)
                else:
                    found[keyword] = value
    return found


def _keywords(term: str) -> Iterator[tuple[str, Any]]:
    if (match := _LENGTH.fullmatch(term)) is not None:
        number, operator = int(match["number"]), match["operator"]
        if operator in (">=", ">", "="):
            yield "minLength", number + (operator == ">")
        if operator in ("<=", "<", "="):
            yield "maxLength", max(number - (operator == "<"), 0)
    elif (match := _BOUND.fullmatch(term)) is not None:
        yield _BOUNDS[match["operator"]], msgspec.json.decode(match["number"].encode())
    elif (match := _ONE_OF.fullmatch(term)) is not None:
        items = list(_items(match["items"]))
        if items:
            yield "enum", items
    elif _NOT_EMPTY.fullmatch(term) is not None:
        yield "minLength", 1
    elif (pattern := _pattern(term)) is not None:
        yield "pattern", pattern


def _pattern(term: str) -> str | None:
    if (match := _REGEX.fullmatch(term)) is not None:
        regex = match["regex"].replace("''", "'")
        return regex if _is_portable(regex) else None
    match = _LIKE.fullmatch(term)
    return None if match is None else _like(match["like"].replace("''", "'"))


def _terms(text: str) -> Iterator[str]:
    """Yield the parts of a conjunction, each without parentheses around it."""
    text = text.strip()
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] in "('\"":
            at = _closing(text, at) + 1
        elif text.startswith(" AND ", at):
            parts.append(text[start:at])
            start = at = at + len(" AND ")
        else:
            at += 1
    if not parts:
        yield text
        return
    for part in (*parts, text[start:]):
        yield from _terms(part)


def _closing(text: str, start: int = 0) -> int:
    """Return where what begins at ``start``, a parenthesis or a quote, ends; the end where it does not."""
    opening = text[start]
    if opening in "'\"":
        at = text.find(opening, start + 1)
        while at != -1 and text.startswith(opening, at + 1):
            at = text.find(opening, at + 2)
        return len(text) - 1 if at == -1 else at
    depth, at = 0, start
    while at < len(text):
        if text[at] in "'\"":
            at = _closing(text, at)
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return len(text) - 1


def _items(text: str) -> Iterator[Any]:
    at = 0
    while at < len(text):
        match = _ITEM.match(text, at)
        if match is None:
            return
        if match["text"] is not None:
            yield match["text"].replace("''", "'")
        else:
            yield msgspec.json.decode(match["number"].encode())
        at = match.end()
        while text[at : at + 1] in (",", " "):
            at += 1


def _is_portable(regex: str) -> bool:
    """Say whether PostgreSQL and ECMAScript read it alike."""
    if _PORTABLE.fullmatch(regex) is None or "(?" in regex or "[[" in regex or regex.startswith("***"):
        return False
    try:
        re.compile(regex)
    except re.error:
        return False
    return True


def _like(like: str) -> str:
    r"""Return the expression that finds what LIKE finds.

    >>> _like("%_@_%"), _like("a.b%")
    ('[\\s\\S]@[\\s\\S]', '^a\\.b')
    """
    start = "" if like.startswith("%") else "^"
    end = "" if like.endswith("%") else "$"
    inner = like.strip("%")
    parts = {"%": "[\\s\\S]*", "_": "[\\s\\S]"}
    return start + "".join(parts.get(one) or re.escape(one).replace("\\@", "@") for one in inner) + end


def constant(default: str | None) -> Any:
    """Return the value of a default that is a constant; None for null and for expressions.

    >>> constant("'pending'::text"), constant("0"), constant("now()"), constant("'{}'::jsonb")
    ('pending', 0, None, {})
    """
    match = None if default is None else _CONSTANT.fullmatch(default)
    if match is None:
        return None
    if match["plain"] is not None:
        return msgspec.json.decode(match["plain"].encode())
    text = match["text"].replace("''", "'")
    if match["type"] in _DOCUMENTS:
        try:
            return msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            return None
    return text
