"""What COMMENT ON says: a text for people, and lines beginning with ``@`` for programs.

    Price of one piece in euros, tax included.
    @example 19.90
    @example 5

``@example`` gives a value of a column, a row of a relation, or the arguments of a
function. It is JSON; for columns of text it may be the bare text. Other lines
with ``@``, such as ``@public``, are not shown.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

EXAMPLE: Final = "@example"


class Comment(Struct, frozen=True):
    """A comment, taken apart.

    Attributes:
        summary: The first line, empty without.
        text: All lines for people.
        examples: As they are written.
    """

    summary: str = ""
    text: str = ""
    examples: tuple[str, ...] = ()

    def values(self, *kinds: type, is_text: bool = False) -> list[Any]:
        """Return the examples; those that are no JSON, or of no kind in ``kinds``, are left out.

        Args:
            kinds: What they may be in Python; any where none is given.
            is_text: What is no JSON string is a text.
        """
        found: list[Any] = []
        for example in self.examples:
            try:
                value = msgspec.json.decode(example.encode())
            except msgspec.DecodeError:
                if is_text:
                    found.append(example)
                continue
            value = example if is_text and not isinstance(value, str) else value
            if not kinds or (isinstance(value, kinds) and isinstance(value, bool) <= (bool in kinds)):
                found.append(value)
        return found


def read_comment(comment: str | None) -> Comment:
    r"""Take ``comment`` apart.

    >>> read_comment("Mood.\n@public\n@example ok")
    Comment(summary='Mood.', text='Mood.', examples=('ok',))
    """
    lines = [line.rstrip() for line in (comment or "").splitlines()]
    shown = [line for line in lines if not line.lstrip().startswith("@")]
    marked = [line.strip() for line in lines if line.lstrip().startswith(f"{EXAMPLE} ")]
    text = "\n".join(shown).strip()
    return Comment(
        text.partition("\n")[0], text, tuple(line.removeprefix(EXAMPLE).strip() for line in marked)
    )
