"""`NestedWrite`: rows that hang together, written stage by stage in one transaction.

Each row is a statement of its own, so that what the server gives back of it is its
own beyond doubt, and what it refuses has a place in the body. The statements of one
stage are one round trip. The last one reads the rows at the top again, by their keys,
with all that was written, and is what a plain insert would answer with.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from modules.query import Filled, Mutation, Part, Relation, Selection
from modules.rest.metrics import NESTED_ROWS, NESTED_WRITES
from modules.rest.nested import Limits, Reader, Row, Taken, Top, at, pointer
from modules.rest.nested_errors import NestedInvalid, NestedNotPossible, NestedRowMissing
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.statements import Statement
from monohull.kernel.errors import Problem
from monohull.kernel.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query import Compiled, Compiler, DataSource, Key, Relationship, Transaction
    from modules.rest.request import ApiRequest
    from modules.rest.scopes import Scopes
    from modules.rest.settings import RestSettings
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Reader as ObservationReader
    from monohull.kernel.principal import Principal

_NO_ITEMS: Final = Selection(items=())
_NULL: Final = b"null"
_encoder: Final = msgspec.json.Encoder()


NestedOutcome: TypeAlias = Literal["written", "refused"]


class NestedWritten(Observation, frozen=True, kw_only=True):
    """Rows that hang together were written, or refused."""

    event = "rest.nested_written"
    level = "debug"

    outcome: NestedOutcome
    rows: int
    request_id: str


def closing(request: ApiRequest) -> ApiRequest:
    """Return the request that the answer to a nested one is made of: the rows at the top, by their keys."""
    asked = request.asked
    assert isinstance(asked, Mutation)
    slot = len(request.values)
    return replace(
        request, asked=replace(asked, body=None, columns=(), nested=(), is_list=False, written=slot)
    )


class View:
    """The catalog as one caller sees it.

    Args:
        compiler: Of what they see.
        scopes: Decides what limited keys may do.
        principal: Who asks.
        anonymous: The caller sent no credential.
    """

    def __init__(self, compiler: Compiler, scopes: Scopes, principal: Principal, *, anonymous: bool) -> None:
        self._compiler = compiler
        self._scopes = scopes
        self._principal = principal
        self._anonymous = anonymous

    def relation(self, key: Key) -> Relation:
        """Return a relation that exists, whether or not it is open.

        Raises:
            RelationNotFound: PGRST205.
        """
        return self._compiler.find(*key, role=self._principal.role, anonymous=self._anonymous)

    def way(self, origin: Key, target: str, hint: str | None) -> Relationship:
        """Return a relationship; see `Compiler.way`."""
        return self._compiler.way(origin, target, hint, role=self._principal.role, anonymous=self._anonymous)

    def referring(self, key: Key, constraint: str) -> str | None:
        """Return the column that a foreign key consists of; None for several, and for another constraint."""
        for way in self._compiler.catalog.related(key):
            if way.constraint == constraint and way.is_referring and len(way.pairs) == 1:
                return way.pairs[0][0]
        return None

    def compile(self, mutation: Mutation) -> Compiled:
        """Return the statement of a row, which the caller may write.

        Raises:
            QueryProblem: As `Compiler.compile` raises it. ScopeMissing: MH103.
        """
        held = self._principal.scopes
        if held is not None:
            self._scopes.demand_target(held, mutation)
        compiled = self._compiler.compile(mutation, role=self._principal.role, anonymous=self._anonymous)
        if held is not None:
            self._scopes.demand(held, mutation, compiled)
        return compiled

    @property
    def is_limited(self) -> bool:
        """Whether some columns are hidden from the caller."""
        return self._principal.columns is not None


class NestedWrite:
    """What one request writes.

    Args:
        request: As it was parsed.
        view: The catalog.
        settings: Limits.

    Attributes:
        rows: In the order in which they are written.
        is_audited: It may change rows that are audited.

    Raises:
        Problem: The body does not fit the catalog, or not the caller's rights; nothing was asked yet.
    """

    def __init__(self, request: ApiRequest, view: View, settings: RestSettings) -> None:
        asked = request.asked
        assert isinstance(asked, Mutation)
        assert asked.body is not None
        assert request.nested is not None
        if asked.conflict is not None and not asked.conflict.merge:
            raise NestedNotPossible(
                "A nested write cannot leave rows at the top alone that exist.",
                hint="Send Prefer: resolution=merge-duplicates, or none.",
            )
        self._request = request
        self._view = view
        self._asked = asked
        limits = Limits(settings.nested_rows, settings.nested_depth)
        reader = Reader(view, limits, merges=request.nested.mode == "upsert")
        key = asked.schema, asked.relation
        top = Top(key, asked.selection.items, request.nested.columns, asked.conflict)
        body = request.values[asked.body]
        assert isinstance(body, bytes)
        self.rows = reader.read(top, body)
        self._key = view.relation(key).primary_key
        if asked.returning != "minimal":
            if not self._key and asked.returning == "representation":
                raise NestedNotPossible(
                    f"Rows of '{asked.relation}' cannot be read again, for they have no primary key",
                    hint="Send Prefer: return=minimal.",
                )
            for row in self.rows:
                if row.is_top:
                    for name in self._key:
                        row.give(name)
        self._failed: Row | None = None
        shapes: dict[Any, Compiled] = {}
        self._compiled = [self._compile(row, shapes) for row in self.rows]
        self.is_audited = any(one.is_audited for one in self._compiled)

    @property
    def values(self) -> Sequence[str | bytes]:
        """The values of `closing`, once all is written."""
        return (*self._request.values, self._keys())

    async def write(self, source: DataSource, transaction: Transaction) -> Transaction:
        """Write all rows; return what the transaction still has to be told: all, where there are no rows.

        Raises:
            NestedInvalid: MH116, the body contradicts itself. NestedRowMissing: MH118.
            PostgresError: The server refused a row; the whole transaction is over.
        """
        left = transaction
        pairs = zip(self.rows, self._compiled, strict=True)
        for _, group in groupby(pairs, key=lambda pair: pair[0].stage):
            stage = list(group)
            statements = [_statement(row, compiled, transaction) for row, compiled in stage]
            try:
                results = await source.run_batch(
                    (*left.before, *statements), settings=left.settings, commit=transaction.commit
                )
            except PostgresError as error:
                place = None if error.statement is None else error.statement - len(left.before)
                self._failed = stage[place][0] if place is not None and place >= 0 else None
                raise
            for (row, _), result in zip(stage, results[len(left.before) :], strict=True):
                row.values = result.rows[0] if result.rows else None
            left = replace(transaction, settings=(), before=())
        return left

    def locate(self, problem: Problem, error: PostgresError) -> Problem:
        """Say in ``problem`` which place of the body the server refused."""
        row = self._failed
        if row is None:
            return problem
        name = error.column if error.table == row.relation.name else None
        if name is None and error.constraint is not None:
            name = self._view.referring(row.relation.key, error.constraint)
        is_said = name is not None and name in row.fields and not self._view.is_limited
        return at(problem, pointer(row.path, name) if is_said and name is not None else row.path)

    def _keys(self) -> str | bytes:
        """Return the keys of the rows at the top that were written, as `Mutation.written` has them."""
        if self._asked.returning == "minimal" or not self._key:
            return _encoder.encode([{} for row in self.rows if row.is_top and row.values is not None])
        keys = [
            tuple(_text(row, name) for name in self._key)
            for row in self._in_order()
            if row.values is not None
        ]
        # an upsert may have met one row twice, which is one row all the same
        return _encoder.encode(
            [{str(place): text for place, text in enumerate(key)} for key in dict.fromkeys(keys)]
        )

    def _in_order(self) -> list[Row]:
        """Return the rows at the top as the body has them."""
        return sorted((row for row in self.rows if row.is_top), key=lambda row: int(row.path[1:] or 0))

    def _compile(self, row: Row, shapes: dict[Any, Compiled]) -> Compiled:
        filled = _filled(row)
        # sorted, so that rows whose keys stand in another order are written by the same statement
        own, nested, gives = tuple(sorted(row.own)), tuple(sorted(row.nested)), tuple(row.gives)
        key = row.relation.key, own, nested, gives, row.conflict, row.is_top, *filled
        known = shapes.get(key)
        if known is not None:
            return known
        schema, name = row.relation.key
        mutation = Mutation(
            "insert",
            schema,
            name,
            _NO_ITEMS,
            body=0,
            columns=own,
            nested=nested,
            defaults=row.is_top and self._asked.defaults,
            conflict=row.conflict,
            part=Part(filled, gives, row.is_top),
        )
        try:
            shapes[key] = compiled = self._view.compile(mutation)
        except Problem as problem:
            raise at(problem, row.path) from problem
        return compiled


def _takings(row: Row) -> Iterator[Taken]:
    """Yield each column that takes a value, once."""
    seen: set[str] = set()
    for one in row.taken:
        if one.column not in seen:
            seen.add(one.column)
            yield one


def _filled(row: Row) -> tuple[Filled, ...]:
    return tuple(
        Filled(one.column, slot, one.row.relation.key, one.name) for slot, one in enumerate(_takings(row), 1)
    )


def _statement(row: Row, compiled: Compiled, transaction: Transaction) -> Statement:
    """Return the statement of a row whose values are all at hand.

    Raises:
        NestedInvalid: MH116, two places of the body say different things. NestedRowMissing: MH118.
    """
    found: dict[str, bytes] = {}
    for one in row.taken:
        value = _value(one.row, one.name)
        if value is None:
            raise at(NestedRowMissing(one.row.relation.name, f"'{one.name}'"), one.row.path)
        if found.setdefault(one.column, value) != value or not _agrees(row.fields.get(one.column), value):
            raise at(
                NestedInvalid(
                    f"'{one.column}' comes from a row of '{one.row.relation.name}' and differs here.",
                    hint="Leave it out.",
                ),
                pointer(row.path, one.column),
            )
    values: list[str | bytes] = [row.document, *found.values()]
    asked = compiled.statement
    return Statement(asked.text, asked.choose(values), f"{asked.name}.{transaction.plan_key}")


def _agrees(said: Raw | None, value: bytes) -> bool:
    """Say whether the body gives a column the value that it takes, or none."""
    if said is None or bytes(said) == _NULL or bytes(said) == value:
        return True
    text = bytes(said)
    return text[:1] == b'"' and msgspec.json.decode(text) == value.decode()


def _value(row: Row, name: str) -> bytes | None:
    return None if row.values is None else row.values[row.gives.index(name)]


def _text(row: Row, name: str) -> str:
    """Return a value of the primary key.

    Raises:
        NestedRowMissing: MH118, there is none.
    """
    value = _value(row, name)
    if value is None:
        raise at(NestedRowMissing(row.relation.name, f"'{name}'"), row.path)
    return value.decode()


def nested_metrics(metrics: Metrics) -> ObservationReader:
    """Return the reader that counts nested writes and their rows."""
    writes, rows = metrics.counter(NESTED_WRITES), metrics.counter(NESTED_ROWS)

    def read(observation: Observation) -> None:
        if isinstance(observation, NestedWritten):
            writes.labels(observation.outcome).inc()
            if observation.outcome == "written":
                rows.inc(observation.rows)

    return read
