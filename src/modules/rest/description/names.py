"""Names of the database → names that another language takes, each of them once."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NOT_IN_COMPONENT: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SPECIAL: Final = frozenset({"__proto__", "constructor", "prototype"})
"""Keys that tools in JavaScript stumble over."""
_WORD: Final = re.compile(r"[^\W_]+")


class Names:
    """Gives out names, and the same name for the same thing.

    Args:
        clean: Makes a name that the language takes, not empty.
        taken: Names that mean something there already.
    """

    def __init__(self, clean: Callable[[str], str], taken: Iterable[str] = ()) -> None:
        self._clean = clean
        self._taken = set(taken)
        self._given: dict[tuple[object, ...], str] = {}

    def name(self, wanted: str, *of: object) -> str:
        """Return the name of the thing ``of``; it is like ``wanted``, with a number where that is taken."""
        known = self._given.get(of)
        if known is None:
            first = known = self._clean(wanted)
            number = 1
            while known in self._taken:
                number += 1
                known = f"{first}_{number}"
            self._taken.add(known)
            self._given[of] = known
        return known


def component(text: str) -> str:
    """Return ``text`` as the name of a part of an OpenAPI document.

    >>> component("with space"), component("größe"), component("?")
    ('with_space', 'gro_e', '_')
    """
    plain = unicodedata.normalize("NFKD", text)
    name = _NOT_IN_COMPONENT.sub("_", "".join(one for one in plain if not unicodedata.combining(one)))
    return f"{name}_" if name in _SPECIAL else name


def pascal(text: str) -> str:
    """Return ``text`` as the name of a class in Python.

    >>> pascal("order_items"), pascal("2fa"), pascal("größe"), pascal("*/")
    ('OrderItems', 'T2fa', 'Größe', 'T')
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text))
    name = unicodedata.normalize("NFKC", "".join(word[:1].upper() + word[1:] for word in words))
    return name if name.isidentifier() else f"T{''.join(one for one in name if f'T{one}'.isidentifier())}"
