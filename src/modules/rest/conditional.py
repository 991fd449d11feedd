"""Conditional requests: 304 for who knows the answer, and no lost updates for who says what they saw.

    GET   /rest/v1/orders?id=eq.1     If-None-Match: "r1f…"      304, without building the answer
    PATCH /rest/v1/orders?id=eq.1     If-Match: "r1f…"           412 if anybody changed it meanwhile

Tags cost a statement or a digest, so they are made for who asks: by ``Prefer:
etag``, or by a condition. A write with one runs in REPEATABLE READ: versions are
compared, then it writes, and whoever changed the rows between both makes it fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from modules.query import Filter, Mutation, Read, Selection
from modules.rest.conditional_errors import ConditionInvalid, PreconditionFailed
from modules.rest.errors import wire_code
from modules.rest.etags import IF_MATCH, Conditions, strong_tag, weak_tag
from modules.rest.metrics import CONDITIONS
from modules.rest.response import Answer
from monohull.kernel.database.data import Statement
from monohull.kernel.errors import Problem
from monohull.kernel.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from modules.query import DataSource, Transaction, Version
    from modules.rest.request import ApiRequest
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Reader

SERIALIZATION_FAILURE: Final = "40001"
_PRIVATE: Final = (b"cache-control", b"private, no-cache")
"""An answer may be kept by who asked, and shown again once we were asked whether it still holds."""
_OK: Final = frozenset({200, 206})


Outcome: TypeAlias = Literal["known", "new", "written", "failed"]


class ConditionMet(Observation, frozen=True, kw_only=True):
    """A request came with a condition: the answer was known or new, the write went on or not."""

    event = "rest.condition_met"
    level = "debug"

    outcome: Outcome
    request_id: str


class Versions:
    """Tells versions of a request's rows apart, by asking the database.

    Args:
        version: The statement.
        asked: The read whose rows they are.
        values: By slot.
        transaction: As whom, and how.
        source: Where.
    """

    def __init__(
        self,
        version: Version,
        asked: Read,
        values: Sequence[str | bytes],
        transaction: Transaction,
        source: DataSource,
    ) -> None:
        self._version = version
        self._asked = asked
        self._values = values
        self._transaction = transaction
        self._source = source

    @property
    def is_of_one_row(self) -> bool:
        """Whether the answer is about one row at most, and changes with its version alone."""
        asked = self._asked
        if not self._version.is_of_rows_alone:
            return False
        equal = {
            term.field.name
            for term in asked.selection.where
            if isinstance(term, Filter)
            and term.operator == "eq"
            and not (term.negated or term.quantifier or term.field.path)
        }
        key = self._version.relation.primary_key
        return asked.shape == "object" or (bool(key) and equal.issuperset(key))

    async def tag(self) -> str | None:
        """Return the strong tag of what the filters find; None where they find nothing.

        Raises:
            PostgresError: The server refused.
        """
        asked, transaction = self._version.compiled.statement, self._transaction
        key = f"{asked.name}.{transaction.plan_key}"
        results = await self._source.run_batch(
            (*transaction.before, Statement(asked.text, asked.choose(self._values), key)),
            settings=transaction.settings,
        )
        text = results[-1].rows[0][-1]
        return None if text is None else strong_tag(text)


async def answer_read(
    conditions: Conditions, versions: Versions | None, read: Callable[[], Awaitable[Answer]]
) -> tuple[Answer, bool]:
    """Answer a read with its tag; return also whether it was known.

    Raises:
        PreconditionFailed: 412, it was wanted as something else than it is.
        PostgresError: The server refused.
        Problem: As ``read`` raises it.
    """
    # asked first: a tag that is older than its answer makes a later write fail, and none succeed wrongly
    tag = await versions.tag() if versions is not None and versions.is_of_one_row else None
    if conditions.match is not None and not Conditions(conditions.match).allow_write(tag):
        raise PreconditionFailed(tag)
    if tag is not None and conditions.know(tag):
        return _not_modified(tag), True
    answer = await read()
    body = answer.body
    if answer.status not in _OK or (tag is None and not isinstance(body, bytes)):
        return answer, False
    if tag is None:
        assert isinstance(body, bytes)
        tag = weak_tag(body, answer.headers)
        if conditions.know(tag):
            return _not_modified(tag), True
    return _tagged(answer, tag), False


async def answer_write(
    conditions: Conditions, versions: Versions, write: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Write if what is there is what the client knows; in a transaction that sees one state of it.

    Raises:
        PreconditionFailed: 412.
        PostgresError: The server refused.
        Problem: As ``write`` raises it.
    """
    current = await versions.tag()
    if not conditions.allow_write(current):
        raise PreconditionFailed(current)
    try:
        answer = await write()
    except Problem as problem:
        if wire_code(problem) == SERIALIZATION_FAILURE:
            raise PreconditionFailed(None) from problem
        raise
    now = await versions.tag()
    return answer if now is None else _tagged(answer, now)


def rows_of(request: ApiRequest) -> Read | None:
    """Return the read of the rows that a request is about; None where it is about none that are there.

    Values of both have the same slots.
    """
    asked = request.asked
    if isinstance(asked, Read):
        return asked
    if isinstance(asked, Mutation) and (asked.action != "insert" or asked.matches_key):
        return Read(asked.schema, asked.relation, Selection(where=asked.selection.where))
    return None


def demand_target(request: ApiRequest, conditions: Conditions) -> None:
    """Refuse conditions where there is nothing that they could be about.

    Raises:
        ConditionInvalid: 400.
    """
    if rows_of(request) is None:
        name = IF_MATCH.decode() if conditions.match is not None else "if-none-match"
        raise ConditionInvalid(
            name, f"The header {name} means nothing here: it goes with PATCH, PUT and DELETE of rows."
        )


def condition_metrics(metrics: Metrics) -> Reader:
    """Return the reader that counts conditional requests."""
    met = metrics.counter(CONDITIONS)

    def read(observation: Observation) -> None:
        if isinstance(observation, ConditionMet):
            met.labels(observation.outcome).inc()

    return read


def _tagged(answer: Answer, tag: str) -> Answer:
    return Answer(answer.status, [*answer.headers, (b"etag", tag.encode()), _PRIVATE], answer.body)


def _not_modified(tag: str) -> Answer:
    return Answer(304, [(b"etag", tag.encode()), _PRIVATE], b"")
