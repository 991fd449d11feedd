r"""What a policy's expression reads of the request: claims of the token, and other settings.

The text is PostgreSQL's own (``pg_get_expr``), so it is regular, but it is not parsed here: places where
settings are read are found, and the keys that are taken out of them are followed to the right.

    ((current_setting('request.jwt.claims'::text, true))::jsonb ->> 'org_id'::text)    claim org_id
    ((auth.jwt() -> 'app_metadata'::text) ->> 'role'::text)                            claim app_metadata.role

A function that reads claims does so for the policies that call it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path: TypeAlias = tuple[str, ...]

CLAIMS: Final = "request.jwt.claims"

_SETTING: Final = re.compile(r"current_setting\(\s*'((?:[^']|'')*)'[^()]*\)", re.IGNORECASE)
_CALL: Final = re.compile(r'(?<![\w".])((?:(?:\w+|"[^"]+")\.)?(?:\w+|"[^"]+"))\s*\(')
_SELECT: Final = re.compile(r"(?:\b(?P<word>EXISTS|ARRAY|IN|ANY)\s*)?(?P<open>\()\s*SELECT\b", re.IGNORECASE)
_BARE_CALL: Final = re.compile(r'\(\s*SELECT\s+[\w."]+\(\)(?:\s+AS\s+[\w"]+)?\s*\)', re.IGNORECASE)
_SKIPPED: Final = re.compile(
    r"""\s+|\)|::\s*(?:jsonb?|text)\b|,\s*''(?:::text)?(?=\s*\))|AS\s+(?:\w+|"[^"]+")""", re.IGNORECASE
)
_BRACKETS: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]""")
_KEY: Final = re.compile(r"->>?\s*'((?:[^']|'')*)'(?:::text)?")
_KEYS: Final = re.compile(r"#>>?\s*'\{([^}]*)\}'(?:::text\[\])?")


class Reads(Struct, frozen=True):
    """What a text reads.

    Attributes:
        claims: Paths of claims.
        settings: Other settings.
        whole: All the claims are read and nothing is taken out of them here.
    """

    claims: tuple[Path, ...] = ()
    settings: tuple[str, ...] = ()
    whole: bool = False


def called_in(text: str) -> tuple[str, ...]:
    """Return the names in front of brackets, some of which are functions.

    >>> called_in("((owner_id = auth.uid()) AND is_member(team_id))")
    ('auth.uid', 'is_member')
    """
    return tuple(dict.fromkeys(found[1] for found in _CALL.finditer(text)))


def read_by(text: str, functions: Mapping[str, Reads]) -> Reads:
    """Return what ``text`` reads, directly or by ``functions``, which are known by their names.

    >>> read_by("(current_setting('request.jwt.claims'::text, true))::jsonb ->> 'org_id'::text", {}).claims
    (('org_id',),)
    """
    claims: list[Path] = []
    settings: list[str] = []
    whole = False
    for found in _SETTING.finditer(text):
        if found[1] != CLAIMS:
            settings.append(found[1])
            continue
        path = _followed(text, found.end())
        whole = whole or not path
        claims += [path] if path else []
    for found in _CALL.finditer(text):
        reads = functions.get(found[1])
        if reads is None:
            continue
        claims += reads.claims
        settings += reads.settings
        if reads.whole and (path := _followed(text, _end_of_call(text, found.end()))):
            claims.append(path)
        elif reads.whole:
            whole = True
    return Reads(tuple(dict.fromkeys(claims)), tuple(dict.fromkeys(settings)), whole)


def claim_at(claims: Mapping[str, Any], path: Path) -> Any:
    """Return the value of a claim, None where it is missing.

    >>> claim_at({"app_metadata": {"roles": ["a"]}}, ("app_metadata", "roles", "0"))
    'a'
    """
    value: Any = claims
    for key in path:
        if isinstance(value, list):
            value = value[int(key)] if key.isdecimal() and int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def subselects(text: str) -> tuple[tuple[str, str], ...]:
    r"""Return the outermost selects in ``text``, each with what is evaluated to know its value.

    >>> subselects("(customer_id = ( SELECT c.id\n   FROM customers c))")
    (('( SELECT c.id FROM customers c)', '( SELECT c.id\n   FROM customers c)'),)
    >>> subselects("((a IN ( SELECT 1)) AND (b = ( SELECT auth.uid() AS uid)))")
    (('IN ( SELECT 1)', 'ARRAY( SELECT 1)'),)
    """
    found: list[tuple[str, str]] = []
    at = 0
    while (start := _SELECT.search(text, at)) is not None:
        end = _end_of_call(text, start.end())
        at = end
        inner = text[start.start("open") : end]
        if _BARE_CALL.fullmatch(inner):
            continue  # its value is told as the call's
        word = (start["word"] or "").upper()
        asked = {"": inner, "IN": f"ARRAY{inner}", "ANY": f"ARRAY{inner}"}.get(word, f"{word} {inner}")
        label = " ".join(f"{word} {inner}".split())
        found.append((label, asked))
    return tuple(found)


def mentions(text: str, column: str) -> bool:
    """Say whether a column may be meant somewhere in ``text``."""
    return re.search(rf'(?<!\w)"?{re.escape(column)}"?(?!\w)', text) is not None


def _followed(text: str, at: int) -> Path:
    """Return the keys that are taken out of what ends at ``at``."""
    return tuple(_keys(text, at))


def _keys(text: str, at: int) -> Iterator[str]:
    while True:
        if (found := _SKIPPED.match(text, at)) is not None:
            at = found.end()
        elif (found := _KEY.match(text, at)) is not None:
            yield found[1].replace("''", "'")
            at = found.end()
        elif (found := _KEYS.match(text, at)) is not None:
            yield from found[1].split(",")
            at = found.end()
        else:
            return


def _end_of_call(text: str, at: int) -> int:
    """Return the place after the bracket that closes the last open one before ``at``."""
    depth = 1
    for found in _BRACKETS.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(found.group(), 0)
        if not depth:
            return found.end()
    return len(text)
