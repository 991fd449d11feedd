"""Statements of data requests, and which of them a connection's server knows already.

A statement is parsed once for each connection and key. The server forgets
statements when somebody says DISCARD, and refuses one whose result type
changed; both are seen by their errors, and everything is parsed again then.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from monohull.kernel.database.frames import Row, bind_head, encode_applied, encode_close

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.database.stream import ValueStream


class BoundSettings(Struct, frozen=True):
    """Settings whose values are encoded already, as Bind has them: four bytes of length, then the text.

    It is what pairs of name and value become when most of them were encoded for an earlier request.

    Attributes:
        names: In the order they are applied.
        values: As many as there are names.
        is_read_only: Whether the transaction can be repeated without harm.
    """

    names: tuple[str, ...]
    values: bytes
    is_read_only: bool

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs again."""
        at = 0
        for name in self.names:
            end = at + 4 + int.from_bytes(self.values[at : at + 4], "big")
            yield name, self.values[at + 4 : end].decode()
            at = end


Settings: TypeAlias = Sequence[tuple[str, str]] | BoundSettings
"""Pairs of setting and value, local to the transaction, applied in this order."""

_READ_ONLY: Final = ("transaction_read_only", "on")


def is_read_only(settings: Settings) -> bool:
    """Say whether nothing can be written under ``settings``."""
    return settings.is_read_only if isinstance(settings, BoundSettings) else _READ_ONLY in settings


Isolation: TypeAlias = Literal["read committed", "repeatable read", "serializable"]

Key: TypeAlias = str | tuple[str, ...]
"""A statement's own key, or the names of the settings that it applies."""

_SETTING_NAME: Final = re.compile(r"[A-Za-z_][\w$-]*(\.[A-Za-z_][\w$-]*)*", re.ASCII)


class Statement(Struct, frozen=True):
    """One statement of a request.

    Attributes:
        sql: Its text, parameters as ``$1``.
        args: Values as PostgreSQL writes them; bytes are text that is already encoded.
        key: What its prepared form is kept under: the shape, with the role and the search path, because a
            plan under row security belongs to a role. Empty: parsed each time.
    """

    sql: str
    args: Sequence[str | bytes | None] = ()
    key: str = ""


class Rows(Struct, frozen=True):
    """What one statement gave: column names, rows of text-format values, and the command tag.

    Where it was asked for and is large, the last value of the only row comes as ``rest``, which the row is
    without; there is no tag then.
    """

    columns: tuple[str, ...]
    rows: list[Row]
    tag: str
    rest: ValueStream | None = None


class Prepared:
    """A statement that the server knows by ``name``; the empty name is parsed anew each time.

    ``columns`` is None until the server described them.
    """

    __slots__ = ("columns", "is_parsed", "name", "sql")

    def __init__(self, name: bytes, sql: str, *, describe: bool) -> None:
        self.name = name
        self.sql = sql
        self.columns: tuple[str, ...] | None = None if describe else ()
        self.is_parsed = False


Span: TypeAlias = Literal["whole", "first", "inner", "last"]
"""Which part of its transaction an exchange is."""


class Pair(Struct, eq=False):
    """Settings and one statement that the server both knows: what nearly every request consists of.

    Attributes:
        steps: The two.
        names: Of the settings.
        sql: Of the statement.
        count: Of the statement's parameters.
        applied: `bind_head` of the settings.
        asked: `bind_head` of the statement.
        settings: Those that were sent last, by whoever asks again and again.
        begin: How a request with these begins.
    """

    steps: list[Prepared]
    names: tuple[str, ...]
    sql: str
    count: int
    applied: bytes
    asked: bytes
    settings: BoundSettings | None = None
    begin: bytes = b""

    def begin_with(self, settings: BoundSettings) -> bytes:
        """Return how a request with ``settings`` begins, and keep that."""
        self.settings = settings
        begin = self.begin = encode_applied(self.applied, settings.values)
        return begin


class StatementCache:
    """The prepared statements of one connection, least recently used first.

    Args:
        size: How many are kept; 0 for none.

    Attributes:
        discarded: Names of those that the server still has to forget.
        pairs: What `find_pair` found, by the statement's key.
        is_crowded: Whether there is so little room that the order matters.
    """

    def __init__(self, size: int) -> None:
        self.discarded: list[bytes] = []
        self._size = size
        self._kept: OrderedDict[Key, Prepared] = OrderedDict()
        self.pairs: dict[Key, Pair] = {}
        self.is_crowded = False
        self._serial = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Key, sql: str | None) -> Prepared | None:
        """Return what is kept under ``key``, unless its text is another one.

        A wrong key may cost time; it must never run a wrong statement. ``sql`` is None for settings.
        """
        prepared = self._kept.get(key)
        if prepared is None or (sql is not None and prepared.sql != sql):
            return None
        if self.is_crowded:
            self._kept.move_to_end(key)
        return prepared

    def find_pair(self, names: tuple[str, ...], statement: Statement) -> Pair | None:
        """Return what is kept of a statement and of the settings before it, if both are.

        Pairs are made when they are asked for, and forgotten whenever anything changes.
        """
        sql, args, key = statement.sql, statement.args, statement.key
        pair = self.pairs.get(key)
        if (
            pair is not None
            and (pair.names is names or pair.names == names)
            and pair.sql == sql
            and pair.count == len(args)
        ):
            if self.is_crowded:
                self._kept.move_to_end(names)
                self._kept.move_to_end(key)
            return pair
        applied, asked = self.find(names, None), self.find(key, sql)
        if applied is None or asked is None or self.discarded:
            return None
        heads = bind_head(applied.name, len(names)), bind_head(asked.name, len(args))
        pair = self.pairs[key] = Pair([applied, asked], names, sql, len(args), *heads)
        return pair

    def make(self, key: Key, sql: str | None, *, describe: bool) -> Prepared:
        """Name a statement that is about to be parsed.

        Names are never used twice, so one that was lost track of cannot be met again.
        """
        text = settings_sql(tuple(key)) if sql is None else sql
        if not (key and self._size):
            return Prepared(b"", text, describe=describe)
        self._serial += 1
        return Prepared(b"m%d" % self._serial, text, describe=describe)

    def keep(self, fresh: dict[Key, Prepared]) -> None:
        """Keep what the server parsed, for it outlives its transaction; discard what there is no room for."""
        self.pairs.clear()
        for key, prepared in fresh.items():
            if not prepared.is_parsed:
                continue
            if prepared.columns is None:
                self.discarded.append(prepared.name)
                continue
            if (replaced := self._kept.pop(key, None)) is not None:
                self.discarded.append(replaced.name)
            self._kept[key] = prepared
        while len(self._kept) > self._size:
            _, evicted = self._kept.popitem(last=False)
            self.discarded.append(evicted.name)
        self.is_crowded = len(self._kept) * 2 > self._size

    def forget(self) -> None:
        """Have every statement parsed again at its next use."""
        self.discarded += [prepared.name for prepared in self._kept.values()]
        self._kept.clear()
        self.pairs.clear()
        self.is_crowded = False

    def take_closes(self) -> list[bytes]:
        """Return messages that close what was discarded, once."""
        closes = [encode_close(name) for name in self.discarded]
        self.discarded.clear()
        return closes


def settings_sql(names: Sequence[str]) -> str:
    """Return the statement that applies settings of these names, values as its parameters, and gives no row.

    The arguments of a function are all evaluated, from left to right, and their count of nulls is never
    negative: nothing travels back that the client has just sent.

    >>> settings_sql(["role"])
    "select where pg_catalog.num_nulls(pg_catalog.set_config('role',$1,true)) < 0"

    Raises:
        ValueError: A name that PostgreSQL would not take as a setting.
    """
    for name in names:
        if not _SETTING_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a setting")
    calls = (f"pg_catalog.set_config('{name}',${at},true)" for at, name in enumerate(names, 1))
    return f"select where pg_catalog.num_nulls({','.join(calls)}) < 0"
