"""Writes that were answered before, with other values: the counterpart of `known` for bodies.

    POST /rest/v1/orders   {"customer": 7, "total": 3}      the second time: bind the body, and go

What depends on the body is which keys it has, whether objects or arrays are
among their values, and whether it is a list: that, path, query without values
and the headers that matter make a write known. The body itself is a value, for
the database takes it apart.

It is kept only if the values can be seen to go in unchanged, as with reads.
Whatever needs more than its one statement and COMMIT is not looked for here: a
count, a time zone, ``tx=rollback``, an audited table, a large or unusual body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from modules.query import REFUSED, Mutation, only_row, read_result
from modules.rest.apart import learn_body, take_values
from modules.rest.body import Body, parse_json
from modules.rest.errors import BodyInvalid
from modules.rest.etags import IF_MATCH, IF_NONE_MATCH
from modules.rest.guc import override
from modules.rest.idempotency import NAME as KEY
from modules.rest.known import MAX_KEY_BYTES, Form, View, raw_value, take_apart
from modules.rest.request import recall_shape
from modules.rest.response import Answer, build_answer
from monohull.kernel.asgi import lines_of

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

    from modules.query import Compiled, Spread
    from modules.rest.apart import Values
    from modules.rest.known import Pieces
    from modules.rest.request import ApiRequest
    from modules.rest.response import RawHeaders
    from monohull.kernel.database.frames import PostgresError
    from monohull.kernel.database.role import SettingsTemplate
    from monohull.kernel.database.statements import BoundSettings, Rows
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.principal import Principal

MAX_KNOWN: Final = 500
"""About 3 MB, or 20 where bodies have as much between their values as is looked at; the oldest goes first."""
MAX_BODY_BYTES: Final = 16 * 1024
"""With larger ones the database is busy for longer than the whole way takes."""

METHODS: Final = frozenset({"POST", "PATCH", "PUT", "DELETE"})
_JSON: Final = (b"", b"application/json")
_WISHES: Final = "rest.wishes.write"
_UNUSUAL: Final = frozenset({b"cookie", KEY, IF_MATCH, IF_NONE_MATCH})

Key: TypeAlias = "tuple[Any, ...]"


class Usual(Struct, frozen=True):
    """What every answer to a write has, where nothing in it but the body depends on rows."""

    status: int
    headers: RawHeaders
    lines: bytes
    has_body: bool

    def around(self, document: bytes) -> Answer:
        """Return the answer; ``document`` goes out where somebody asked for it."""
        body = document if self.has_body else b""
        return Answer(self.status, [*self.headers, (b"content-length", b"%d" % len(body))], body)


class Fills(Protocol):
    """Makes what is bound of the values of a write; `Form` and `AsTaken` do."""

    def fill(self, given: Any, /) -> Values: ...


class AsTaken(Struct, frozen=True):
    """The `Form` of a statement that takes the values of a body one by one, and no others."""

    def fill(self, given: Values) -> Values:
        """Return the values."""
        return given


class Apart(Struct, frozen=True):
    """The same write, with the values of its body bound one by one.

    Attributes:
        pattern: Takes a body apart.
        known: What is sent then.
    """

    pattern: re.Pattern[bytes]
    known: KnownWrite


class KnownWrite(Struct, frozen=True):
    """One kind of write.

    Attributes:
        request: The one that it was learnt from.
        compiled: Its statement.
        args: What is bound; the value after those of the query is the body.
        usual: What all answers have, or None where their headers depend on what was written.
        views: By role, for those that may write it.
        apart: How it goes with the body taken apart, where it does.
    """

    request: ApiRequest
    compiled: Compiled
    args: Fills
    usual: Usual | None
    views: dict[str, View]
    apart: Apart | None = None

    def view(self, role: str, settings: SettingsTemplate) -> View:
        """Remember and return how ``role`` sends it."""
        made = self.views[role] = View(settings, self.key(role))
        return made

    def key(self, role: str) -> str:
        """Return under which connections keep the statement of ``role``."""
        return f"{self.compiled.statement.name}.{role}.{self.request.schema}"

    def answer_lines(self, rows: Rows) -> tuple[int, bytes, bytes] | None:
        """Return status, header lines and document, sooner than `answer`; None where that is the way."""
        usual = self.usual
        if usual is None or not rows.rows:
            return None
        row = rows.rows[0]
        if any(row[2 : 2 + self.compiled.asides]):
            return None
        return usual.status, usual.lines, (row[-1] or b"") if usual.has_body else b""

    def answer(self, rows: Rows) -> Answer:
        """Return the answer around what the statement gave.

        Raises:
            ResponseHeadersInvalid, ResponseStatusInvalid: 500, what the database set is neither.
            NotOneRow: PGRST116, there is none and one was asked for.
        """
        row = only_row(self.compiled, rows)
        if self.usual is None:
            result = read_result(self.compiled, row, row[-1] or b"")
            asides, answer = result.asides, build_answer(self.request, result)
        else:
            asides, answer = row[2 : 2 + self.compiled.asides], self.usual.around(row[-1] or b"")
        return (
            Answer(*override(answer.status, answer.headers, asides), answer.body) if any(asides) else answer
        )


class WriteLane(Struct, frozen=True):
    """A known write as one caller sends it, with the same headers each time; see `Lane`.

    Attributes:
        apart: The lane of bodies that are taken apart, where there are such.
    """

    mark: object
    known: KnownWrite
    principal: Principal
    key: str
    settings: BoundSettings
    apart: WriteLane | None = None

    def take_apart(self, raw: bytes) -> tuple[WriteLane, Values] | None:
        """Return the lane of a body that is taken apart, and its values; None where this one is its lane."""
        way, lane = self.known.apart, self.apart
        if way is None or lane is None:
            return None
        values = None if len(raw) > MAX_BODY_BYTES else take_values(way.pattern, raw)
        return None if values is None else (lane, values)

    def asks_anew(self, error: PostgresError) -> bool:
        """Say whether the document is to be asked for what is wrong with the body; nothing was written."""
        return isinstance(self.known.args, AsTaken) and error.sqlstate.startswith(REFUSED)


def lane_of(
    mark: object, known: KnownWrite, principal: Principal, way: tuple[str, BoundSettings]
) -> WriteLane:
    """Return a write as ``principal`` sends it."""
    apart = None
    if known.apart is not None:
        other = known.apart.known
        apart = WriteLane(mark, other, principal, other.key(principal.role), way[1])
    return WriteLane(mark, known, principal, *way, apart)


class Sent(Struct, frozen=True):
    """A write as it was sent.

    Attributes:
        key: By which its like is found.
        values: Those of the query, then the body.
    """

    key: Key
    values: list[bytes]


class WriteMemory:
    """The writes that are known for one catalog and one configuration, neither of which it holds."""

    def __init__(self) -> None:
        self.mark = object()
        self._known: dict[Key, KnownWrite] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, sent: Sent) -> KnownWrite | None:
        """Return what is known of a write."""
        return self._known.get(sent.key)

    def learn(
        self, scope: Mapping[str, Any], request: ApiRequest, compiled: Compiled, answer: Answer
    ) -> None:
        """Remember how a write was answered, if its like can be answered so."""
        if not is_plain(request, compiled):
            return
        assert isinstance(request.asked, Mutation)
        slot = request.asked.body
        body = b"" if slot is None else raw_value(request.values[slot])
        sent = take_write(scope, scope["state"]["headers"], body)
        known = None if sent is None else _known(sent, request, compiled, answer, scope["query_string"])
        if sent is None or known is None:
            return
        # whoever goes the whole way each time comes here each time, and a pattern takes long to make
        before = self._known.get(sent.key)
        if before is not None and before.apart is not None:
            known = replace(known, apart=before.apart)
        elif compiled.spread is not None:
            known = replace(known, apart=_apart(known, compiled.spread, body))
        self._known[sent.key] = known
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]


def take_write(scope: Mapping[str, Any], headers: HeaderSet, raw: bytes) -> Sent | None:
    """Return a write in parts; None for one that is not looked for."""
    path: bytes | None = scope.get("raw_path")
    wishes = headers.notes.get(_WISHES)
    if wishes is None:
        wishes = _wishes(headers.by_name)
        headers.note(_WISHES, wishes)
    query: bytes = scope["query_string"]
    if not wishes or path is None or len(raw) > MAX_BODY_BYTES or len(path) + len(query) > MAX_KEY_BYTES:
        return None
    pieces, given = take_apart(path, query)
    method: str = scope["method"]
    if method == "DELETE":
        return Sent((method, wishes, pieces), given)
    if b"columns=" in query:
        return None
    try:
        body = parse_json(raw)
    except BodyInvalid:  # said where it belongs, after what is wrong with the request itself
        return None
    given.append(body.document)
    return Sent(_key(method, wishes, pieces, body), given)


def _key(method: str, wishes: tuple[bytes | None, ...], pieces: Pieces, body: Body) -> Key:
    return method, wishes, pieces, body.columns, body.nested, body.is_list


def _wishes(headers: Mapping[bytes, bytes] | None) -> tuple[bytes | None, ...]:
    """Return what headers say about a write; nothing where one with them is not looked for."""
    if headers is None or not _UNUSUAL.isdisjoint(headers):
        return ()
    if headers.get(b"content-type", b"") not in _JSON:
        return ()
    return (headers.get(b"accept"), headers.get(b"prefer"), headers.get(b"content-profile"), b"")


def is_plain(request: ApiRequest, compiled: Compiled) -> bool:
    """Say whether nothing about a write needs more than its statement and its values."""
    preferences = request.preferences
    return (
        isinstance(request.asked, Mutation)
        and preferences.count is None
        and preferences.timezone is None
        and not preferences.explain_denial
        and not request.outdated
        and request.media.explain is None
        and compiled.count_plan is None
        and not (compiled.is_binary or compiled.is_audited or compiled.sensitive)
        and sum(map(len, request.asked.columns)) <= MAX_KEY_BYTES
    )


def _known(
    sent: Sent, request: ApiRequest, compiled: Compiled, answer: Answer, query: bytes
) -> KnownWrite | None:
    """Return what is to be known, or None where the values at hand do not lead to the statement at hand."""
    assert isinstance(request.asked, Mutation)
    found = recall_shape(query, None)
    if found is None:
        return None
    shape, given = found
    body = request.asked.body
    if [*given, *(() if body is None else (raw_value(request.values[body]),))] != sent.values:
        return None
    numbers = {slot: number for number, slot in enumerate(shape.slots)}
    if body is not None:
        numbers[body] = len(given)
    slots = compiled.statement.slots
    args = Form(
        [b"" if slot in numbers else raw_value(request.values[slot]) for slot in slots],
        tuple((at, numbers[slot]) for at, slot in enumerate(slots) if slot in numbers),
    )
    if args.fill(sent.values) != [raw_value(arg) for arg in compiled.statement.choose(request.values)]:
        return None
    return KnownWrite(request, compiled, args, _usual(request.asked, answer), {})


def _apart(known: KnownWrite, spread: Spread, body: bytes) -> Apart | None:
    """Return how bodies like ``body`` are taken apart; None where they are not."""
    pattern = learn_body(body, spread.documents)
    if pattern is None:
        return None
    compiled = replace(known.compiled, statement=spread.statement)
    return Apart(pattern, KnownWrite(known.request, compiled, AsTaken(), known.usual, {}))


def _usual(asked: Mutation, answer: Answer) -> Usual | None:
    """Return what all answers have, None where their headers depend on what was written."""
    if asked.action != "insert" or asked.conflict is not None or asked.returning == "keys":
        return None
    headers = [pair for pair in answer.headers if pair[0] != b"content-length"]
    return Usual(answer.status, headers, lines_of(headers), asked.returning == "representation")
