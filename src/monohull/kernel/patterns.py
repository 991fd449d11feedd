r"""Patterns of texts that a line break may not follow.

In Python ``$`` also matches before a last line break, and PostgreSQL, where the
text is checked once more, has no such exception. JSON Schema has none either; so
descriptions show the plain ``$``, which every tool that reads them understands.
"""

from __future__ import annotations

from typing import Final

END: Final = r"$(?!\n)"

_SHOWN: Final = rb"$(?!\\n)"


def as_described(document: bytes) -> bytes:
    r"""Return a JSON document with the patterns as JSON Schema means them.

    >>> as_described(rb'{"pattern":"^[a-z]+$(?!\\n)"}')
    b'{"pattern":"^[a-z]+$"}'
    """
    return document.replace(_SHOWN, b"$")
