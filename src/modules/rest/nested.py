"""Take a nested body apart: rows of several relations, and what each needs of the others.

    {"note": "Friday", "customer": {"name": "Ada"}, "items": [{"product_id": 3, "quantity": 2}]}

A key that is no column names a relationship, as an embed in ``select`` does: by the
relation's name, by that and a hint (``items!fk_name``), or by the alias that ``select``
gives it. An object or an array of objects under it are rows of the related relation.
A referred-to row is written before the row that refers to it, so rows fall into
stages, and those of one stage need nothing of each other.

Nothing here asks the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct

from modules.query import (
    ColumnNotFound,
    Conflict,
    Embed,
    RelationshipAmbiguous,
    RelationshipNotFound,
)
from modules.rest.nested_errors import NestedInvalid, NestedNotPossible, NestedTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from modules.query import Item, Key, Relation, Relationship
    from monohull.kernel.errors import Problem

P = TypeVar("P", bound="Problem")

ROOT: Final = ""
_OPENING: Final = (b"{", b"[")
_NULL: Final = b"null"
_fields: Final = msgspec.json.Decoder(dict[str, Raw])
_list: Final = msgspec.json.Decoder(list[Raw])
_encoder: Final = msgspec.json.Encoder()


class Limits(Struct, frozen=True):
    """How large a nested body may be: rows of all relations, and levels below the top."""

    rows: int
    depth: int


class Taken(Struct, frozen=True):
    """A column of a row that takes the value of another row's column."""

    column: str
    row: Row
    name: str


class Row:
    """One row to be written.

    Attributes:
        relation: Where.
        path: JSON pointer to it in the body. The row between two has that of the one it leads to.
        stage: Rows with a lower one are written before.
        columns: What the body gives values to, in its order.
        fields: What it says of each, as it came.
        taken: What other rows give values to.
        gives: Columns whose values other rows take, in the order of first mention.
        conflict: Upsert.
        values: Of `gives`, once it was written; None before, and where it was not written.
    """

    __slots__ = (
        "columns",
        "conflict",
        "fields",
        "gives",
        "is_top",
        "path",
        "relation",
        "stage",
        "taken",
        "values",
    )

    def __init__(  # noqa: PLR0913 a row has these parts
        self,
        relation: Relation,
        path: str,
        columns: tuple[str, ...],
        fields: Mapping[str, Raw],
        conflict: Conflict | None,
        *,
        is_top: bool,
    ) -> None:
        self.relation = relation
        self.path = path
        self.columns = columns
        self.fields = fields
        self.conflict = conflict
        self.is_top = is_top
        self.stage = 0
        self.taken: list[Taken] = []
        self.gives: list[str] = []
        self.values: Sequence[bytes | None] | None = None

    def take(self, column: str, row: Row, name: str) -> None:
        """Have ``column`` take the value of ``name`` of ``row``, which is written before."""
        self.taken.append(Taken(column, row, name))
        row.give(name)
        self.stage = max(self.stage, row.stage + 1)

    def give(self, name: str) -> None:
        """Have the value of a column at hand when the row was written."""
        if name not in self.gives:
            self.gives.append(name)

    @property
    def own(self) -> tuple[str, ...]:
        """Columns whose values come from the body."""
        taken = {one.column for one in self.taken}
        return tuple(name for name in self.columns if name not in taken)

    @property
    def document(self) -> bytes:
        """What the body says of the row alone, without what hangs on it."""
        return _encoder.encode({name: self.fields[name] for name in self.own if name in self.fields})

    @property
    def nested(self) -> tuple[str, ...]:
        """Columns whose values are objects or arrays."""
        return tuple(name for name in self.own if bytes(self.fields.get(name, _NULL))[:1] in _OPENING)


class Ways(Protocol):
    """What this needs of the catalog, as one caller sees it."""

    def relation(self, key: Key) -> Relation: ...

    def way(self, origin: Key, target: str, hint: str | None) -> Relationship:
        """Return a relationship.

        Raises:
            QueryProblem: PGRST200, PGRST201.
        """
        ...


class Top(Struct, frozen=True):
    """What the request says of the rows at the top.

    Attributes:
        key: Their relation.
        items: Of ``select``, whose embeds may give aliases.
        columns: What ``columns=`` lists, or None.
        conflict: By ``resolution`` and ``on_conflict``.
    """

    key: Key
    items: Sequence[Item]
    columns: tuple[str, ...] | None = None
    conflict: Conflict | None = None


class Reader:
    """Reads one body.

    Args:
        ways: The catalog.
        limits: Of the body.
        merges: Rows below the top that exist are updated.
    """

    def __init__(self, ways: Ways, limits: Limits, *, merges: bool) -> None:
        self._ways = ways
        self._limits = limits
        self._below = Conflict() if merges else None
        self._between = Conflict(merge=False) if merges else None
        self._rows: list[Row] = []
        self._known: dict[tuple[Key, str, str | None], Relationship] = {}

    def read(self, top: Top, body: bytes) -> list[Row]:
        """Return all rows, each before those that are written after it.

        Raises:
            NestedInvalid: MH116. NestedTooLarge: MH117. NestedNotPossible: MH119.
            QueryProblem: PGRST204, PGRST200, PGRST201: a key names no column and not one relationship.
        """
        relation = self._ways.relation(top.key)
        embeds = _embeds(top.items)
        is_list = body.lstrip()[:1] == b"["
        for number, raw in enumerate(_list.decode(body) if is_list else (Raw(body),)):
            path = f"/{number}" if is_list else ROOT
            fields = _object(raw, path)
            if top.columns is not None:
                fields = {name: value for name, value in fields.items() if name in top.columns}
            self._read(relation, fields, path, embeds, top=top)
        return sorted(self._rows, key=lambda row: row.stage)

    def _read(  # noqa: PLR0913 a row has these parts
        self,
        relation: Relation,
        fields: Mapping[str, Raw],
        path: str,
        embeds: Mapping[str, Embed],
        *,
        depth: int = 0,
        top: Top | None = None,
        owner: Callable[[Row], None] | None = None,
    ) -> Row:
        """Add a row and all that hangs on it; ``owner`` ties it to the one that it hangs on."""
        if depth > self._limits.depth:
            raise at(NestedTooLarge(f"Rows of a body are nested {self._limits.depth} deep at most."), path)
        stored = relation.columns if relation.rule is None else relation.stored
        named = fields if top is None or top.columns is None else dict.fromkeys((*top.columns, *fields))
        columns = tuple(name for name in named if name in stored)
        conflict = self._below if top is None else top.conflict
        row = Row(relation, path, columns, fields, conflict, is_top=top is not None)
        ways = [
            (name, pointer(path, name), self._way(relation, name, fields[name], embeds, path))
            for name in fields
            if name not in stored
        ]
        for name, place, way in ways:
            if way.is_referring and bytes(fields[name]) != _NULL:
                inner = _embeds(embeds[name].selection.items) if name in embeds else {}
                target = self._ways.relation(way.target)
                other = self._read(target, _object(fields[name], place), place, inner, depth=depth + 1)
                for here, there in way.pairs:
                    row.take(here, other, there)
        if owner is not None:
            owner(row)
        self._add(row)
        for name, place, way in ways:
            if not way.is_referring:
                inner = _embeds(embeds[name].selection.items) if name in embeds else {}
                for value, own_place in _children(way, fields[name], place):
                    self._child(row, way, _object(value, own_place), own_place, inner, depth + 1)
        return row

    def _child(  # noqa: PLR0913, PLR0917 a row has these parts
        self,
        parent: Row,
        way: Relationship,
        fields: Mapping[str, Raw],
        path: str,
        embeds: Mapping[str, Embed],
        depth: int,
    ) -> None:
        target = self._ways.relation(way.target)
        if way.junction is None:

            def tie(row: Row) -> None:
                for here, there in way.pairs:
                    row.take(there, parent, here)

            self._read(target, fields, path, embeds, depth=depth, owner=tie)
            return
        row = self._read(target, fields, path, embeds, depth=depth)
        middle = self._ways.relation(way.junction.key)
        between = Row(middle, path, (), {}, self._between, is_top=False)
        for here, column in way.junction.origin_pairs:
            between.take(column, parent, here)
        for column, there in way.junction.target_pairs:
            between.take(column, row, there)
        self._add(between)

    def _add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) > self._limits.rows:
            raise at(NestedTooLarge(f"A nested body has {self._limits.rows} rows at most."), row.path)

    def _way(
        self, relation: Relation, name: str, value: Raw, embeds: Mapping[str, Embed], path: str
    ) -> Relationship:
        """Return the relationship that a key names.

        Raises:
            QueryProblem: It names none, or several. NestedNotPossible: MH119, rows cannot be written by it.
        """
        embed = embeds.get(name)
        target, _, hint = name.partition("!") if embed is None else (embed.relation, "", embed.hint)
        place = pointer(path, name)
        try:
            way = self._find(relation.key, target, hint or None)
        except RelationshipNotFound as problem:
            if bytes(value)[:1] in _OPENING:
                raise at(problem, place) from problem
            raise at(ColumnNotFound(name, relation.name), place) from problem
        except RelationshipAmbiguous as problem:
            raise at(problem, place) from problem
        if way.function is not None:
            message = f"'{target}' of '{relation.name}' is computed by a function, which takes no rows"
            raise at(NestedNotPossible(message), place)
        return way

    def _find(self, origin: Key, target: str, hint: str | None) -> Relationship:
        key = origin, target, hint
        if key not in self._known:
            self._known[key] = self._ways.way(origin, target, hint)
        return self._known[key]


def at(problem: P, path: str) -> P:
    """Return ``problem`` with the place in the body that it is about."""
    problem.path = path
    return problem


def pointer(path: str, name: str) -> str:
    """Return the JSON pointer to a key of the object at ``path``.

    >>> pointer("/0", "a/b")
    '/0/a~1b'
    """
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"


def _embeds(items: Sequence[Item]) -> dict[str, Embed]:
    """Return the embeds among the items of ``select`` by the names that they have in the answer."""
    return {item.name: item for item in items if isinstance(item, Embed) and not item.spread}


def _object(raw: Raw, path: str) -> Mapping[str, Raw]:
    """Return the fields of a row.

    Raises:
        NestedInvalid: MH116, it is no object.
    """
    try:
        return _fields.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise at(NestedInvalid("A row is an object of columns and values."), path) from None


def _children(way: Relationship, raw: Raw, path: str) -> Iterator[tuple[Raw, str]]:
    """Yield the rows under the key of a relationship, each with its place.

    Raises:
        NestedInvalid: MH116, the value is not what the relationship takes.
    """
    if bytes(raw) == _NULL:
        return
    if way.is_to_one:
        yield raw, path
        return
    try:
        rows = _list.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        message = f"'{way.target[1]}' has several rows here, which come as an array of objects."
        raise at(NestedInvalid(message), path) from None
    for number, row in enumerate(rows):
        yield row, f"{path}/{number}"
