"""Reads that were answered before, with other values: what does not depend on the values is remembered.

    GET /rest/v1/orders?status=eq.paid&limit=20      the second time: status = $1, and go

Nearly all traffic of an application is a few hundred requests that differ in
their values and in who asks. The first of a kind goes the whole way from
`parse_request` to `build_answer`. What came of it is kept under everything that
went into it, and the next one of the kind takes its values out of the query
string, binds them, and writes the same headers around other rows.

It is kept only if the values can be seen to go in unchanged: filling in those
of the request at hand gives what the whole way gave. Whatever is unusual (a
cookie, a repeated header, a range, a value that is encoded, a count) is not
looked for here. A new catalog or configuration brings a new, empty memory.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from modules.query import NotOneRow, Read, only_row
from modules.rest.guc import override
from modules.rest.request import recall_shape
from modules.rest.response import Answer
from monohull.kernel.asgi import lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.query import Compiled
    from modules.rest.request import ApiRequest
    from modules.rest.response import RawHeaders
    from monohull.kernel.database.role import SettingsTemplate
    from monohull.kernel.database.statements import BoundSettings, Rows
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.principal import Principal

MAX_KNOWN: Final = 2000
"""About 4 MB; the one that was learnt first goes."""
MAX_KEY_BYTES: Final = 2048
"""Longer requests go the whole way each time."""

_VALUES: Final = re.compile(
    rb"(&(?!(?:select|columns|on_conflict|order|limit|offset|and|or)=)[A-Za-z_]\w*="
    rb"(?:not\.)?(?:eq|neq|[gl]te?)\.)([\w.~-]*)(?=&|\Z)"
)
_OF_VALUES: Final = f"{ascii_letters}{digits}_.~-".encode()
"""Plain comparisons with a column: name and operator, then a value that means itself wherever it stands.

Each begins with an ampersand, which is put before the first: so places where one may begin are found quickly.
"""

_OWN: Final = frozenset({b"content-range", b"content-location", b"content-length"})
"""Headers that are made for each answer."""

_WISHES: Final = "rest.wishes"
_UNUSUAL: Final = frozenset({b"range", b"cookie", b"if-match", b"if-none-match", b"cursor"})

Key: TypeAlias = tuple[bytes | None, ...]
Pieces: TypeAlias = tuple[bytes, ...]
"""Path and query of a read, without the values."""


class View(Struct, frozen=True):
    """A known read as one role sends it.

    Attributes:
        settings: But for what the caller and the headers bring.
        key: Under which connections keep the statement.
    """

    settings: SettingsTemplate
    key: str


class Form(Struct, frozen=True):
    """What always stands the same, and where values go.

    Attributes:
        pieces: In their order; empty where a value goes.
        gaps: Positions in ``pieces``, each with the number of its value in the query string.
    """

    pieces: list[bytes]
    gaps: tuple[tuple[int, int], ...]

    def fill(self, given: Sequence[bytes]) -> list[bytes]:
        """Return the pieces with the values ``given``.

        >>> Form([b"?id=eq.", b""], ((1, 0),)).fill([b"7"])
        [b'?id=eq.', b'7']
        """
        filled = self.pieces.copy()
        for at, number in self.gaps:
            filled[at] = given[number]
        return filled


class Known(Struct, frozen=True):
    """One kind of read.

    Attributes:
        request: The one that it was learnt from.
        compiled: Its statement, which gives back the number of rows, then asides, then the document.
        args: What is bound.
        location: ``Content-Location``.
        headers: Those of the answer that are always the same.
        lines: All of them, written, with ``%b`` for the range of rows and for each value of the location.
        order: The numbers of these values; None where they stand as they came.
        is_single: It has to be one row.
        views: By role, for those that may read it.
        verdicts: By role, what the response cache has found out about it, and by which facts.
    """

    request: ApiRequest
    compiled: Compiled
    args: Form
    location: Form
    headers: RawHeaders
    lines: bytes
    order: tuple[int, ...] | None
    is_single: bool
    views: dict[str, View]
    verdicts: dict[str, tuple[object, Any]] = {}

    def view(self, role: str, settings: SettingsTemplate) -> View:
        """Remember and return how ``role`` sends it."""
        key = f"{self.compiled.statement.name}.{role}.{self.request.schema}"
        made = self.views[role] = View(settings, key)
        return made

    def answer(self, given: Sequence[bytes], rows: Rows) -> Answer:
        """Return the answer around what the statement gave.

        Raises:
            NotOneRow: PGRST116.
            ResponseHeadersInvalid, ResponseStatusInvalid: 500, what the database set is neither.
        """
        _, count, *asides = only_row(self.compiled, rows)
        rest = rows.rest
        document = asides.pop() or b"" if rest is None else rest
        try:
            headers = self.answer_headers(given, int(count or 0), len(document))
            if any(asides):
                return Answer(*override(200, headers, asides), document)
        except BaseException:
            if rest is not None:
                rest.close()
            raise
        return Answer(200, headers, document)

    def answer_lines(self, given: Sequence[bytes], rows: Rows) -> tuple[int, bytes, bytes] | None:
        """Return status, header lines and document, sooner than `answer`; None where that is the way.

        Raises:
            NotOneRow: PGRST116.
        """
        found = rows.rows
        _, count, *asides, document = found[0] if len(found) == 1 else only_row(self.compiled, rows)
        if rows.rest is not None or any(asides):
            return None
        number = int(count or 0)
        if self.is_single and number != 1:
            raise NotOneRow(number)
        shown = b"0-%d/*" % (number - 1) if number else b"*/*"
        if self.order is not None:
            given = [given[at] for at in self.order]
        return 200, self.lines % (shown, *given), document or b""  # no value is such that it can end a line

    def answer_headers(self, given: Sequence[bytes], rows: int, length: int) -> RawHeaders:
        """Return the headers around a document of ``rows`` rows and ``length`` bytes.

        Raises:
            NotOneRow: PGRST116.
        """
        if self.is_single and rows != 1:
            raise NotOneRow(rows)
        shown = b"0-%d/*" % (rows - 1) if rows else b"*/*"
        return [
            *self.headers,
            (b"content-range", shown),
            (b"content-location", b"".join(self.location.fill(given))),
            (b"content-length", b"%d" % length),
        ]


class Lane(Struct, frozen=True):
    """A known read as one caller sends it, with the same headers each time.

    Attributes:
        mark: Of the memory that it is of; it holds for as long as that one is in use, and does not keep it.
        key: Under which connections keep the statement.
        settings: All that it runs under.
        facts: By which was found out whether it is cached.
        way: How it is cached, a `cache.serving.Way`; None where it is not.
    """

    mark: object
    known: Known
    principal: Principal
    key: str
    settings: BoundSettings
    facts: object
    way: Any


class Memory:
    """The reads that are known for one catalog and one configuration, neither of which it holds."""

    def __init__(self) -> None:
        self.mark = object()
        self._known: dict[Key, Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, headers: HeaderSet, pieces: Pieces) -> Known | None:
        """Return what is known of a GET."""
        key = _key(headers, pieces)
        return None if key is None else self._known.get(key)

    def kind(self, headers: HeaderSet, pieces: Pieces) -> tuple[object, Key] | None:
        """Return what stands for all GETs that are known by the same; None where they are not looked for."""
        key = _key(headers, pieces)
        return None if key is None else (self.mark, key)

    def learn(
        self, scope: Mapping[str, Any], request: ApiRequest, compiled: Compiled, answer: Answer
    ) -> None:
        """Remember how a GET was answered, if its like can be answered so."""
        path: bytes | None = scope.get("raw_path")
        if path is None:
            return
        pieces, given = take_apart(path, scope["query_string"])
        key = _key(scope["state"]["headers"], pieces)
        if key is None or sum(len(part) for part in key if part is not None) > MAX_KEY_BYTES:
            return
        known = (
            _known(request, compiled, scope["query_string"], given, answer)
            if is_plain(request, compiled)
            else None
        )
        if known is None:
            return
        self._known[key] = known
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]


def is_plain(request: ApiRequest, compiled: Compiled) -> bool:
    """Say whether nothing about a read needs more than its statement and its values."""
    preferences = request.preferences
    return (
        request.head.kind == "relation"
        and request.head.method == "GET"
        and preferences.count is None
        and preferences.timezone is None
        and not (preferences.explain_denial or preferences.etag)
        and not request.outdated
        and request.cursor is None
        and request.page.offset == 0
        and request.media.explain is None
        and compiled.count_plan is None
        and not compiled.is_binary
    )


def take_apart(path: bytes, query: bytes) -> tuple[Pieces, list[bytes]]:
    """Return a read without its values, and the values.

    >>> take_apart(b"/rest/v1/items", b"id=eq.7&limit=1")
    ((b'/rest/v1/items', b'', b'&id=eq.', b'&limit=1'), [b'7'])
    """
    if not query:
        return (path, b"&"), []
    pieces = _VALUES.split(b"&" + query)
    given = pieces[2::3]
    del pieces[2::3]
    return (path, *pieces), given


def around_value(pieces: Pieces) -> tuple[bytes, bytes] | None:
    """Return what stands before and after the value of a query that has one.

    >>> around_value((b"/rest/v1/items", b"", b"&id=eq.", b"&limit=1"))
    (b'id=eq.', b'&limit=1')
    """
    if len(pieces) != 4:  # noqa: PLR2004 the path, and what a split at one value leaves
        return None
    _, before, name, after = pieces
    return (before + name)[1:], after


def only_value(before: bytes, query: bytes, after: bytes) -> list[bytes] | None:
    """Return what `take_apart` returns as the values of a query that differs from one in its only value.

    None of another query, and where it takes longer to say.

    >>> only_value(b"id=eq.", b"id=eq.7&limit=1", b"&limit=1")
    [b'7']
    >>> only_value(b"id=eq.", b"id=eq.7&id=eq.8&limit=1", b"&limit=1")
    """
    if not (query.startswith(before) and query.endswith(after)):
        return None
    value = query[len(before) : len(query) - len(after)]
    # one that is empty may be none: what stands before and after may share their bytes
    return None if not value or value.translate(None, _OF_VALUES) else [value]


def _key(headers: HeaderSet, pieces: Pieces) -> Key | None:
    """Return what a read is known by, None for one that is not looked for."""
    wishes = headers.notes.get(_WISHES)
    if wishes is None:
        wishes = _wishes(headers.by_name)
        headers.note(_WISHES, wishes)
    return (*wishes, *pieces) if wishes else None


def _wishes(headers: Mapping[bytes, bytes] | None) -> tuple[bytes | None, ...]:
    """Return what headers say about an answer; nothing where a read with them is not looked for."""
    if headers is None or not _UNUSUAL.isdisjoint(headers):
        return ()
    return headers.get(b"accept"), headers.get(b"prefer"), headers.get(b"accept-profile")


def _known(
    request: ApiRequest, compiled: Compiled, query: bytes, given: Sequence[bytes], answer: Answer
) -> Known | None:
    """Return what is to be known, or None where the values at hand do not lead to the answer at hand."""
    assert isinstance(request.asked, Read)
    found = recall_shape(query, request.asked.max_rows)
    if found is None or found[1] != given:
        return None
    shape, _ = found
    numbers = {slot: number for number, slot in enumerate(shape.slots)}
    slots = compiled.statement.slots
    canonical = shape.fill([value.decode() for value in given]).canonical
    first, *others = shape.texts
    headers = [pair for pair in answer.headers if pair[0] not in _OWN]
    location = [(request.location.removesuffix(canonical) + first).encode()]
    for text in others:
        location += (b"", text.encode())
    known = Known(
        request=request,
        compiled=compiled,
        args=Form(
            [b"" if slot in numbers else raw_value(request.values[slot]) for slot in slots],
            tuple((at, numbers[slot]) for at, slot in enumerate(slots) if slot in numbers),
        ),
        location=Form(location, tuple((2 * at + 1, number) for at, number in enumerate(shape.order))),
        headers=headers,
        lines=_template(headers, location),
        order=None if tuple(shape.order) == tuple(range(len(given))) else tuple(shape.order),
        is_single=request.media.shape == "object",
        views={},
    )
    is_same = known.args.fill(given) == [raw_value(arg) for arg in compiled.statement.choose(request.values)]
    is_there = b"".join(known.location.fill(given)) == request.location.encode()
    lines_of([(b"content-location", b"".join(location))])  # nothing in it ends a line
    return known if is_same and is_there else None


def _template(headers: RawHeaders, location: Sequence[bytes]) -> bytes:
    r"""Return the header lines of an answer, with ``%b`` for the range of rows and for values.

    >>> _template([(b"vary", b"accept")], [b"/a?id=eq.", b"", b"&b=100%"])
    b'vary: accept\r\ncontent-range: %b\r\ncontent-location: /a?id=eq.%b&b=100%%\r\n'
    """
    always, *texts = (text.replace(b"%", b"%%") for text in (lines_of(headers), *location[::2]))
    return b"%bcontent-range: %%b\r\ncontent-location: %b\r\n" % (always, b"%b".join(texts))


def raw_value(arg: str | bytes) -> bytes:
    """Return a value as it is bound."""
    return arg.encode() if isinstance(arg, str) else arg
