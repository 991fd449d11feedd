"""Query string → selection and values: each parameter to its parser, each to its place in the tree.

    select, order, limit, offset, and, or, not.and, not.or     the top selection
    <path>.order, <path>.limit, … <path>.not.or                an embed
    columns, on_conflict                                       nothing, in a read
    <column>=…, <path>.<column>=…                              a filter

Source: PostgREST 16, ``ApiRequest/QueryParams.hs``, ``parse``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from modules.query import AllColumns, Argument, Connective, Field, Selection
from modules.rest.columns import parse_columns
from modules.rest.cursor import NAME_EXPECTED, Cursor
from modules.rest.draft import Draft
from modules.rest.errors import QueryStringRefused, QueryStringTooLong
from modules.rest.filters import is_filter, parse_filter
from modules.rest.logic import parse_logic
from modules.rest.order import parse_order
from modules.rest.ranges import Page, overlap, parse_limit, parse_offset
from modules.rest.select import parse_select

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_QUERY_BYTES: Final = 64 * 1024
MAX_PARAMETERS: Final = 500

_IGNORED: Final = frozenset({"select", "columns", "on_conflict"})
_RESERVED: Final = frozenset({"order", "limit", "offset", "and", "or"})


class Parameters(Struct, frozen=True):
    """What a query string asks for.

    Attributes:
        selection: Without the page of the top, which headers and settings have a say in.
        values: Values by slot.
        page: ``limit`` and ``offset`` of the top.
        canonical: The query string in one form for all that mean the same, for ``Content-Location``.
        columns, on_conflict: Of a write; a read ignores them.
        arguments: Of a call: the parameters that are no filters.
        outdated: Relations by whose name an embed was meant that has an alias, and the alias.
    """

    selection: Selection
    values: list[str]
    page: Page
    canonical: str
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: tuple[Argument, ...] = ()
    outdated: tuple[tuple[str, str], ...] = ()


def parse_parameters(
    query: bytes, *, range_page: Page, max_rows: int | None, takes_arguments: bool = False
) -> Parameters:
    """Parse a query string.

    Args:
        query: As it stands in the request, percent-encoded.
        range_page: What the ``Range`` header asks for.
        max_rows: Ceiling of every limit.
        takes_arguments: Whether a parameter that is no filter is an argument of a call.

    Raises:
        QueryStringError: PGRST100, with parameter and column.
        QueryStringRefused: PGRST100, not text, or too much of something.
        QueryStringTooLong: MH101.
        RangeNotSatisfiable: PGRST103.
        EmbedNotSelected: PGRST108.
    """
    pairs = split_query(query)
    reader = _Reader(pairs, max_rows, takes_arguments=takes_arguments)
    for name, value in pairs:
        if name not in _IGNORED:
            reader.read(name, value)
    page = overlap(reader.page, range_page).capped(max_rows)
    reader.set_page(page, is_asked=reader.page.limit is not None or range_page.limit is not None)
    return Parameters(
        reader.root.freeze(),
        reader.values,
        page,
        canonical_query(pairs),
        _columns(pairs, "columns"),
        _columns(pairs, "on_conflict"),
        tuple(Argument(name, reader.arguments[name]) for name in sorted(reader.arguments)),
        tuple(dict.fromkeys(reader.root.outdated)),
    )


def _columns(pairs: Sequence[tuple[str, str]], name: str) -> tuple[str, ...] | None:
    text = next((value for key, value in pairs if key == name), None)
    return None if text is None else parse_columns(text, f"{name} parameter")


def split_query(query: bytes) -> list[tuple[str, str]]:
    """Return names and values in the client's order.

    >>> split_query(b"a=1+2&b=%C3%A9")
    [('a', '1 2'), ('b', 'é')]

    Raises:
        QueryStringRefused: PGRST100.
        QueryStringTooLong: MH101.
    """
    if not query:
        return []
    if len(query) > MAX_QUERY_BYTES:
        raise QueryStringTooLong(len(query), MAX_QUERY_BYTES)
    pairs: list[tuple[str, str]] = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if part:
            pairs.append((decode_text(name), decode_text(value)))
    if len(pairs) > MAX_PARAMETERS:
        raise QueryStringRefused(f"The query string has more than {MAX_PARAMETERS} parameters.")
    return pairs


def decode_text(raw: bytes) -> str:
    """Undo the encoding of a name or value.

    Raises:
        QueryStringRefused: PGRST100, it is not text.
    """
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise QueryStringRefused(
            "The query string is not UTF-8.",
            details=f"Byte {error.start + 1} of a name or value does not decode.",
        ) from error
    if "\x00" in text:
        raise QueryStringRefused("The query string holds a NUL character, which no text in PostgreSQL can.")
    return text


def canonical_query(pairs: Sequence[tuple[str, str]]) -> str:
    """Write ``pairs`` sorted by name and encoded in one way."""
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in sorted(pairs, key=lambda pair: pair[0])
    )


class _Reader:
    """The tree under construction, with the values by slot."""

    def __init__(
        self, pairs: Sequence[tuple[str, str]], max_rows: int | None, *, takes_arguments: bool
    ) -> None:
        selected = next((value for name, value in pairs if name == "select"), None)
        self.root = Draft([AllColumns()] if selected is None else parse_select(selected))
        self.values: list[str] = []
        self.page = Page()
        self.arguments: dict[str, tuple[int, ...]] = {}
        self._takes_arguments = takes_arguments
        self._max_rows = max_rows

    def read(self, name: str, value: str) -> None:
        last = name.rpartition(".")[2]
        if last in _RESERVED:
            self._reserved(name, last, value)
            return
        cursor = Cursor(name, "tree path")
        path = _names(cursor)
        steps = cursor.path()
        if not cursor.at_end():
            cursor.refuse(NAME_EXPECTED)
        if self._takes_arguments and not is_filter(value):
            self.values.append(value)
            self.arguments[path[-1]] = (*self.arguments.get(path[-1], ()), len(self.values) - 1)
            return
        draft = self.root.at(path[:-1])
        draft.where.append(parse_filter(Field(path[-1], steps), value, self.values))

    def _reserved(self, name: str, last: str, value: str) -> None:
        path = [] if name == last else _names(Cursor(name, "tree path"))[:-1]
        if last in ("and", "or"):
            negated = bool(path) and path[-1] == "not"
            draft = self.root.at(path[:-1] if negated else path)
            tree = parse_logic(cast("Connective", last), value, self.values, negated=negated)
            draft.where.append(tree)
            return
        draft = self.root.at(path)
        if last == "order":
            if value:
                draft.order = parse_order(value)
        elif not path:
            self._top_page(last, value)
        elif last == "limit":
            limit = parse_limit(value)
            draft.limit = self._slot(limit if self._max_rows is None else min(limit, self._max_rows))
        else:
            draft.offset = self._slot(parse_offset(value))

    def _top_page(self, last: str, value: str) -> None:
        if last == "limit":
            self.page = Page(self.page.offset, parse_limit(value))
        else:
            self.page = Page(parse_offset(value), self.page.limit)

    def set_page(self, page: Page, *, is_asked: bool) -> None:
        if is_asked and page.limit is not None:
            self.root.limit = self._slot(page.limit)
        if page.offset:
            self.root.offset = self._slot(page.offset)

    def _slot(self, value: int) -> int:
        self.values.append(str(value))
        return len(self.values) - 1


def _names(cursor: Cursor) -> list[str]:
    names = [cursor.name()]
    while cursor.take("."):
        names.append(cursor.name())
    return names
