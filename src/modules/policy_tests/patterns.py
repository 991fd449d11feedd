"""Texts that match a regular expression or a LIKE pattern, for columns that check theirs.

Knows literals, classes, groups, alternatives and repetitions; PostgreSQL has the last word,
so what is misunderstood here is a candidate that falls through.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_CLASSES: Final = {
    "d": string.digits,
    "w": string.ascii_lowercase + string.digits,
    "s": " ",
    "S": string.ascii_lowercase,
    "D": string.ascii_lowercase,
    "W": "-",
}
_NAMED: Final = {
    "[:alpha:]": string.ascii_lowercase,
    "[:digit:]": string.digits,
    "[:alnum:]": string.ascii_lowercase + string.digits,
    "[:upper:]": string.ascii_uppercase,
    "[:lower:]": string.ascii_lowercase,
    "[:space:]": " ",
    "[:xdigit:]": string.hexdigits[:16],
    "[:punct:]": "-",
}
_ANY: Final = string.ascii_lowercase + string.digits
_MORE: Final = 8
"""How many times an open repetition goes beyond its least."""


def like(pattern: str, random: Random) -> str:
    """Return a text that ``LIKE pattern`` accepts."""
    token = "".join(random.choices(_ANY, k=_MORE))
    parts = re.findall(r"\\.|[^\\]", pattern)
    wild = {"%": token, "_": "x"}
    return "".join(part[1] if part[0] == "\\" else wild.get(part, part) for part in parts)


def matching(pattern: str, random: Random) -> str:
    """Return a text that should match ``pattern``.

    Raises:
        ValueError: The pattern has a part that is not understood.
    """
    return _Reader(pattern, random).read()


class _Reader:
    def __init__(self, pattern: str, random: Random) -> None:
        self.text = pattern
        self.at = 0
        self.random = random

    def read(self) -> str:
        found = self._alternatives()
        if self.at < len(self.text):
            raise ValueError(f"{self.text!r} has a bracket too many")
        return found

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self) -> str:
        if not (one := self._peek()):
            raise ValueError(f"{self.text!r} ends too early")
        self.at += 1
        return one

    def _alternatives(self) -> str:
        found = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            found.append(self._sequence())
        return self.random.choice(found)

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._peek() not in ("", "|", ")"):
            begin = self.at
            part = self._atom()
            end = self.at
            least, most = self._repetition()
            parts += [part] if least else []
            for _ in range(self.random.randint(least, most) - min(least, 1)):
                after, self.at = self.at, begin
                parts.append(self._atom())
                assert self.at == end
                self.at = after
        return "".join(parts)

    def _atom(self) -> str:  # noqa: PLR0911 one for each kind
        one = self._take()
        if one in "^$":
            return ""
        if one == "(":
            return self._group()
        if one == "[":
            return self.random.choice(self._class())
        if one == ".":
            return self.random.choice(_ANY)
        if one == "\\":
            escaped = self._take()
            if escaped in "mMyA<>Z":
                return ""
            return self.random.choice(_CLASSES.get(escaped, escaped))
        return one

    def _group(self) -> str:
        if self.text.startswith("?:", self.at):
            self.at += 2
        elif self._peek() == "?":
            raise ValueError(f"{self.text!r} looks around, which is not understood")
        found = self._alternatives()
        if self._take() != ")":
            raise ValueError(f"{self.text!r} has a bracket too few")
        return found

    def _class(self) -> str:
        negated = self._peek() == "^"
        self.at += negated
        found = ""
        while (one := self._take()) != "]" or not found:
            if one == "[" and (name := self._named()):
                found += name
            elif one == "\\":
                escaped = self._take()
                found += _CLASSES.get(escaped, escaped)
            elif self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                found += "".join(chr(code) for code in range(ord(one), ord(self._take()) + 1))
            else:
                found += one
        if not negated:
            return found
        return "".join(sign for sign in _ANY + "-" if sign not in found) or "~"

    def _named(self) -> str:
        for name, signs in _NAMED.items():
            if self.text.startswith(name[1:], self.at):
                self.at += len(name) - 1
                return signs
        return ""

    def _repetition(self) -> tuple[int, int]:
        least, most = 1, 1
        match self._peek():
            case "*":
                least, most = 0, _MORE
            case "+":
                least, most = 1, 1 + _MORE
            case "?":
                least, most = 0, 1
            case "{":
                end = self.text.index("}", self.at)
                low, comma, high = self.text[self.at + 1 : end].partition(",")
                least = int(low or 0)
                most = min(int(high), least + _MORE) if high else (least + _MORE if comma else least)
                self.at = end
            case _:
                return least, most
        self.at += 1
        if self._peek() == "?":
            self.at += 1
        return least, most
