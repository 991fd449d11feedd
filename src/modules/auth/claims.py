"""Find the database role among a token's claims, by the path that ``jwt-role-claim-key`` names.

    path  = [ "$" ] 1*( key / index / filter )
    key   = "." ( 1*( ALPHA / DIGIT / "_" / "$" / "@" / "-" ) / quoted )
    index = "[" 1*DIGIT "]"
    filter = "[?(@ " ( "==" / "!=" / "^==" / "==^" / "*==" ) " " quoted ")]"

Source: PostgREST 16, ``Config/JSPath.hs``. A filter takes the first element of
an array that fits: equal, not equal, begins with, ends with, contains.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STEP: Final = re.compile(
    r"""\.(?P<key>[\w$@-]+)|\."(?P<quoted>[^"]+)"|\[(?P<index>\d{1,9})\]"""
    r"""|\[\?\(@\s*(?P<operator>==\^|\^==|\*==|==|!=)\s*"(?P<text>[^"]*)"\)\]"""
)

_COMPARISONS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "==": lambda value, text: value == text,
    "!=": lambda value, text: value != text,
    "^==": lambda value, text: value.startswith(text),
    "==^": lambda value, text: value.endswith(text),
    "*==": lambda value, text: text in value,
}


class Filter(Struct, frozen=True):
    """The first text of an array that compares."""

    operator: str
    text: str


Step: TypeAlias = str | int | Filter


def parse_path(text: str) -> tuple[Step, ...]:
    """Split a path into its steps.

    >>> parse_path(".app_metadata.roles[0]")
    ('app_metadata', 'roles', 0)

    Raises:
        ValueError: With the 1-based column where reading stopped.
    """
    steps: list[Step] = []
    position = 1 if text.startswith("$") else 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            break
        steps.append(_step(match))
        position = match.end()
    if not steps or position < len(text):
        raise ValueError(
            f"{text!r} is not a path of claims (column {position + 1}); write .role or .app_metadata.roles[0]"
        )
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if (index := match["index"]) is not None:
        return int(index)
    if (operator := match["operator"]) is not None:
        return Filter(operator, match["text"])
    key = match["key"] or match["quoted"]
    assert key is not None
    return key


def walk(path: tuple[Step, ...], claims: Any) -> Any:
    """Return what ``path`` leads to in ``claims``, or None when it leads nowhere.

    >>> walk(parse_path(".roles[1]"), {"roles": ["a", "b"]})
    'b'
    """
    value = claims
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        elif isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = _first(step, value)
        if value is None:
            return None
    return value


def _first(wanted: Filter, value: Any) -> str | None:
    if not isinstance(value, list):
        return None
    compare = _COMPARISONS[wanted.operator]
    return next((item for item in value if isinstance(item, str) and compare(item, wanted.text)), None)
