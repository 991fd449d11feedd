"""Cut an SQL file into statements, and find a place in it again.

The server takes a whole file at once, but then says nothing of the statement a
failure belongs to, and wraps everything in one transaction, which ``CREATE
INDEX CONCURRENTLY`` refuses. So the file is cut where ``psql`` would cut it: at
semicolons outside of strings, quoted names, dollar quotes, comments (which
nest), parentheses, and bodies between BEGIN ATOMIC and END.

Source: PostgreSQL, ``src/fe_utils/psqlscan.l``; strings are read as with
``standard_conforming_strings = on``, which the caller sets.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

KEPT_WORDS: Final = 8
"""So many leading words of a statement tell what it is."""

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<line_comment>--[^\n\r]*)
    | (?P<block_comment>/\*)
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<escape_string>[eE]')
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<number>\$?[0-9][A-Za-z0-9_.]*)
    | (?P<string>')
    | (?P<name>")
    | (?P<open>\()
    | (?P<close>\))
    | (?P<semicolon>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_STRING_REST: Final = re.compile(r"(?:[^']|'')*'")
_ESCAPE_STRING_REST: Final = re.compile(
    r"(?:[^'\\]|''|\\.)*'(?:\s*?[\n\r]\s*'(?:[^'\\]|''|\\.)*')*", re.DOTALL
)
"""A string that goes on in the next line is still of the escaping kind there."""
_NAME_REST: Final = re.compile(r'(?:[^"]|"")*"')

_ROUTINE: Final = re.compile(r"create (?:or replace )?(?:function|procedure)\b")


class SqlTextError(Exception):
    """Something begins and never ends. `offset` is where it begins, in characters."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


class SqlStatement(Struct, frozen=True):
    """One statement without its semicolon.

    Attributes:
        text: From its first word on; comments before it are left out.
        offset: Where that word is in the file, in characters.
        words: Its first bare words in lower case, `KEPT_WORDS` at most.
        is_concurrent: It has the word CONCURRENTLY.
    """

    text: str
    offset: int
    words: tuple[str, ...]
    is_concurrent: bool = False

    @property
    def controls_transaction(self) -> bool:
        """Whether it begins or ends a transaction; savepoints are inside of one."""
        first, second = (*self.words, "", "")[:2]
        if first in ("rollback", "abort"):
            return "to" not in self.words[1:3]
        if first in ("begin", "commit", "end"):
            return True
        return (first, second) in (("start", "transaction"), ("prepare", "transaction"))

    @property
    def copies_from_client(self) -> bool:
        """Whether it is COPY … FROM STDIN, whose rows would have to follow in the file."""
        return (
            self.words[:1] == ("copy",)
            and re.search(r"\bfrom\s+stdin\b", self.text, re.IGNORECASE) is not None
        )


def split(sql: str) -> list[SqlStatement]:
    r"""Cut ``sql`` into its statements; empty ones are left out.

    >>> [statement.text for statement in split("select 1; -- one\nselect ';'")]
    ['select 1', "select ';'"]

    Raises:
        SqlTextError: A string, quoted name, dollar quote or comment does not end.
    """
    return _Splitter(sql).run()


def locate(text: str, offset: int) -> tuple[int, int]:
    r"""Return line and column of ``offset``, both counted from 1.

    >>> locate("select 1;\nselect x", 17)
    (2, 8)
    """
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def excerpt(text: str, offset: int, width: int = 76) -> str:
    """Return the line at ``offset`` and a caret under the place, cut to ``width`` characters."""
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start : end if end >= 0 else len(text)].rstrip("\r").replace("\t", " ")
    column = offset - start
    first = max(0, min(column - width // 2, len(line) - width))
    shown = line[first : first + width]
    return f"    {shown}\n    {' ' * (column - first)}^"


class _Splitter:
    """The state between two tokens."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.at = 0
        self.found: list[SqlStatement] = []
        self._begin()

    def _begin(self) -> None:
        self.start: int | None = None
        self.words: list[str] = []
        self.last_word = ""
        self.parentheses = 0
        self.body = 0
        self.is_concurrent = False

    def run(self) -> list[SqlStatement]:
        while self.at < len(self.sql):
            match = _TOKEN.match(self.sql, self.at)
            assert match is not None, "every character is a token"
            kind = match.lastgroup or ""
            begin, self.at = self.at, match.end()
            if kind == "block_comment":
                self.at = self._comment_end(begin)
            elif kind == "semicolon" and not self.parentheses and not self.body:
                self._end(begin)
            elif kind not in ("space", "line_comment"):
                self.start = begin if self.start is None else self.start
                self._take(kind, match.group(), begin)
        self._end(len(self.sql))
        return self.found

    def _take(self, kind: str, token: str, begin: int) -> None:
        if kind == "word":
            self._word(token.lower())
        elif kind == "open":
            self.parentheses += 1
        elif kind == "close":
            self.parentheses = max(0, self.parentheses - 1)
        elif kind == "string":
            self.at = self._rest(_STRING_REST, begin, "a string")
        elif kind == "escape_string":
            self.at = self._rest(_ESCAPE_STRING_REST, begin, "a string")
        elif kind == "name":
            self.at = self._rest(_NAME_REST, begin, "a quoted name")
        elif kind == "dollar":
            self.at = self._dollar_end(token, begin)

    def _word(self, word: str) -> None:
        if len(self.words) < KEPT_WORDS:
            self.words.append(word)
        self.is_concurrent = self.is_concurrent or word == "concurrently"
        if self.body:
            self.body += {"case": 1, "end": -1}.get(word, 0)
        elif word == "atomic" and self.last_word == "begin" and _ROUTINE.match(" ".join(self.words)):
            self.body = 1
        self.last_word = word

    def _rest(self, pattern: re.Pattern[str], begin: int, what: str) -> int:
        match = pattern.match(self.sql, self.at)
        if match is None:
            raise SqlTextError(f"{what} begins here and does not end", begin)
        return match.end()

    def _dollar_end(self, tag: str, begin: int) -> int:
        end = self.sql.find(tag, self.at)
        if end < 0:
            raise SqlTextError(f"a text quoted with {tag} begins here and does not end", begin)
        return end + len(tag)

    def _comment_end(self, begin: int) -> int:
        depth, at = 1, begin + 2
        while depth:
            match = _COMMENT_EDGE.search(self.sql, at)
            if match is None:
                raise SqlTextError("a comment begins here and does not end; comments nest", begin)
            depth += 1 if match.group() == "/*" else -1
            at = match.end()
        return at

    def _end(self, at: int) -> None:
        if self.start is not None:
            text = self.sql[self.start : at].rstrip()
            self.found.append(SqlStatement(text, self.start, tuple(self.words), self.is_concurrent))
        self._begin()
