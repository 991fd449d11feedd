"""Query string → `Parameters`, remembering what queries of the same shape mean.

Clients send the same few queries with other values. The values of plain
comparisons (``id=eq.5``) are taken out; what is left is looked up, and the
values are put into their slots and into ``Content-Location``. How a shape reads
is learnt by parsing it with marks in place of the values: the parser stays the
only one who knows the grammar, and a shape that depended on a value is not kept.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

import msgspec

from modules.rest.parameters import Parameters, decode_text, parse_parameters
from modules.rest.ranges import WHOLE, Page

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SHAPES: Final = 1000
MAX_SHAPE_BYTES: Final = 2048
"""Longer query strings are parsed each time. A shape takes some kilobytes at most."""

MAX_VALUES: Final = 20
"""Queries with more values are rare, and parsed each time."""

_PLAIN: Final = frozenset({b"eq", b"neq", b"gt", b"gte", b"lt", b"lte"})
"""Operators that take what follows as it is."""

_NO_FILTERS: Final = frozenset(
    {b"select", b"columns", b"on_conflict", b"order", b"limit", b"offset", b"and", b"or"}
)
_UNQUOTED: Final = re.compile(r"[A-Za-z0-9_.~-]*")

Key: TypeAlias = tuple[bytes, int, int | None, bool]


class Shape(msgspec.Struct, frozen=True):
    """What a query string without its values means.

    Attributes:
        parameters: With marks for values.
        slots: Where the values of the query string go, in its order.
        texts: ``Content-Location`` in pieces; between them are values.
        order: Which value is between them.
    """

    parameters: Parameters
    slots: tuple[int, ...]
    texts: tuple[str, ...]
    order: tuple[int, ...]

    def fill(self, given: Sequence[str]) -> Parameters:
        """Return the parameters with ``given`` as values, in the order of the query string."""
        known = self.parameters
        values = known.values.copy()
        for slot, value in zip(self.slots, given, strict=True):
            values[slot] = value
        pieces = [self.texts[0]]
        for at, text in zip(self.order, self.texts[1:], strict=True):
            value = given[at]
            pieces.append(value if _UNQUOTED.fullmatch(value) else quote(value, safe=""))
            pieces.append(text)
        return Parameters(
            known.selection,
            values,
            known.page,
            "".join(pieces),
            known.columns,
            known.on_conflict,
            known.arguments,
            known.outdated,
        )


class Shapes:
    """The shapes that a process knows, the least recently used first.

    They say what a text means, whoever asks and whatever the database has.
    """

    def __init__(self, most: int = MAX_SHAPES) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Shape] = OrderedDict()
        self._mark = f"mark{secrets.token_hex(8)}n"

    def __len__(self) -> int:
        return len(self._kept)

    def parse(
        self,
        query: bytes,
        *,
        range_page: Page = WHOLE,
        max_rows: int | None = None,
        takes_arguments: bool = False,
    ) -> Parameters:
        """Return what `parse_parameters` returns, and raise what it raises."""
        if range_page is not WHOLE or len(query) > MAX_SHAPE_BYTES:
            return parse_parameters(
                query, range_page=range_page, max_rows=max_rows, takes_arguments=takes_arguments
            )
        constants, given = split_values(query)
        key = (constants, len(given), max_rows, takes_arguments)
        shape = self._kept.get(key)
        if shape is not None:
            self._kept.move_to_end(key)
            return shape.fill([decode_text(value) for value in given])
        parameters = parse_parameters(
            query, range_page=WHOLE, max_rows=max_rows, takes_arguments=takes_arguments
        )
        if len(given) <= MAX_VALUES and (shape := self._learn(constants, key, parameters)) is not None:
            self._kept[key] = shape
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return parameters

    def recall(self, query: bytes, max_rows: int | None) -> tuple[Shape, list[bytes]] | None:
        """Return the shape of a read's query, and its values as they stand there; None where none is kept."""
        constants, given = split_values(query)
        shape = self._kept.get((constants, len(given), max_rows, False))
        return None if shape is None else (shape, given)

    def _learn(self, constants: bytes, key: Key, parameters: Parameters) -> Shape | None:
        """Return the shape of ``constants``, or None where marks do not lead to the same as values did."""
        _, count, max_rows, takes_arguments = key
        marks = [f"{self._mark}{number}z" for number in range(count)]
        pieces = constants.split(HOLE)
        if len(pieces) != count + 1:
            return None
        query = pieces[0] + b"".join(
            mark.encode() + piece for mark, piece in zip(marks, pieces[1:], strict=True)
        )
        marked = parse_parameters(query, range_page=WHOLE, max_rows=max_rows, takes_arguments=takes_arguments)
        if any(marked.values.count(mark) != 1 or marked.canonical.count(mark) != 1 for mark in marks):
            return None
        order = sorted(range(count), key=lambda number: marked.canonical.index(marks[number]))
        texts = re.split("|".join(marks), marked.canonical) if marks else [marked.canonical]
        shape = Shape(marked, tuple(map(marked.values.index, marks)), tuple(texts), tuple(order))
        given = [parameters.values[slot] for slot in shape.slots] if _same_size(marked, parameters) else []
        return shape if len(given) == count and shape.fill(given) == parameters else None


HOLE: Final = b"\0"
"""Stands for a value in a shape's key; no query string holds it, for it would be refused."""


def split_values(query: bytes) -> tuple[bytes, list[bytes]]:
    r"""Return ``query`` with holes for the values of plain comparisons, and the values.

    >>> split_values(b"id=eq.5&order=a.desc&b.price=not.gt.1.5&c=in.(1)")
    (b'id=eq.\x00&order=a.desc&b.price=not.gt.\x00&c=in.(1)', [b'5', b'1.5'])
    """
    given: list[bytes] = []
    parts = query.split(b"&")
    for number, part in enumerate(parts):
        name, _, condition = part.partition(b"=")
        operator, dot, value = condition.partition(b".")
        if operator == b"not":
            operator, dot, value = value.partition(b".")
        if (
            operator in _PLAIN
            and dot
            and b"%" not in name
            and b"+" not in name
            and name.rpartition(b".")[2] not in _NO_FILTERS
        ):
            given.append(value)
            parts[number] = part[: len(part) - len(value)] + HOLE
    return b"&".join(parts), given


def _same_size(one: Parameters, other: Parameters) -> bool:
    return len(one.values) == len(other.values)
