r"""A place in a parameter, and the tokens that every parameter shares.

    name    = quoted / word *( "-" word )          ; "-" only when no ">" follows
    word    = 1*( letter / digit / "_" / " " / "$" )
    quoted  = DQUOTE *( "\" char / any but DQUOTE ) DQUOTE
    field   = name path
    path    = *( "->>" key / "->" key )
    key     = quoted / [ "-" ] 1*digit / 1*( any but "(" "-" ":" "." "," ">" ")" )

Regular expressions match at the place; a parser that fails says where and what
it had hoped for, which goes to the client as it is.

Source: PostgREST 16, ``ApiRequest/QueryParams.hs``.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from modules.query import Field, Step
from modules.rest.errors import QueryStringError

_NAME: Final = re.compile(r"[\w $]+(?:-(?!>)[\w $]+)*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_ARROW: Final = re.compile(r"->>?")
_INDEX: Final = re.compile(r"-?[0-9]{1,9}(?=->|::|[.,):]|$)")
_KEY: Final = re.compile(r"[^(\-:.,>)]+(?:-(?!>)[^(\-:.,>)]+)*")
_SPACES: Final = re.compile(r" *")

NAME_EXPECTED: Final = "field name (* or [a..z0..9_$])"
KEY_EXPECTED: Final = '"-", digit or any non reserved character different from: .,>()'


class Cursor:
    """A place in ``text``.

    Args:
        text: What is read.
        what: What it is, for messages: ``filter``, ``order``, …
        shown: What the message quotes when that is not ``text``.
        at: Where to begin.
    """

    __slots__ = ("at", "shown", "text", "what")

    def __init__(self, text: str, what: str, *, shown: str | None = None, at: int = 0) -> None:
        self.text = text
        self.what = what
        self.shown = text if shown is None else shown
        self.at = at

    def refuse(self, expected: str) -> NoReturn:
        """Stop reading here.

        Raises:
            QueryStringError: PGRST100.
        """
        raise QueryStringError(self.what, self.shown, self.at + 1, self.text[self.at : self.at + 1], expected)

    def at_end(self) -> bool:
        return self.at >= len(self.text)

    def take(self, token: str) -> bool:
        """Step over ``token`` if it is next."""
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def expect(self, token: str) -> None:
        """Step over ``token``, which must be next."""
        if not self.take(token):
            self.refuse(f'"{token}"')

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Step over what ``pattern`` matches here; return it, or None."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def spaces(self) -> None:
        self.match(_SPACES)

    def rest(self) -> str:
        """Take everything that is left."""
        left = self.text[self.at :]
        self.at = len(self.text)
        return left

    def quoted(self) -> str | None:
        r"""Take a quoted text; None when none begins here.

        >>> Cursor('"a\\\\"b"', "filter").quoted()
        'a"b'
        """
        found = _QUOTED.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return _ESCAPED.sub(r"\1", found.group(1))

    def find_name(self) -> str | None:
        """Take a name; None when none begins here."""
        if (quoted := self.quoted()) is not None:
            return quoted or None
        start = self.at
        name = (self.match(_NAME) or "").strip()
        if not name:
            self.at = start
        return name or None

    def name(self, expected: str = NAME_EXPECTED) -> str:
        """Take a name, which must be next."""
        name = self.find_name()
        if name is None:
            self.refuse(expected)
        return name

    def field(self, expected: str = NAME_EXPECTED) -> Field:
        """Take a column with its JSON path."""
        return Field(self.name(expected), self.path())

    def path(self) -> tuple[Step, ...]:
        """Take the arrows that follow, none perhaps.

        >>> Cursor("->a->>0", "order").path()
        (Step(key='a', as_text=False), Step(key=0, as_text=True))
        """
        steps: list[Step] = []
        while (arrow := self.match(_ARROW)) is not None:
            steps.append(Step(self._key(), as_text=arrow == "->>"))
        return tuple(steps)

    def _key(self) -> str | int:
        if (quoted := self.quoted()) is not None:
            return quoted
        if (index := self.match(_INDEX)) is not None:
            return int(index)
        key = self.match(_KEY)
        if key is None:
            self.refuse(KEY_EXPECTED)
        return key.strip()
