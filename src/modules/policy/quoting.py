"""Names in statements that are shown to people, or made of the catalog."""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_$]*")


def quoted(name: str) -> str:
    """Quote a name where it needs it to be read.

    >>> quoted("orders"), quoted("My orders")
    ('orders', '"My orders"')
    """
    return name if _PLAIN.fullmatch(name) else strictly_quoted(name)


def strictly_quoted(name: str) -> str:
    """Quote a name, for statements that are run.

    >>> strictly_quoted('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


def qualified(key: tuple[str, str]) -> str:
    """Quote a name with its schema, for statements that are run."""
    return f"{strictly_quoted(key[0])}.{strictly_quoted(key[1])}"


def shown(key: tuple[str, str]) -> str:
    """Name a relation for people."""
    return f"{key[0]}.{key[1]}"
