"""A data request up to the point where the database is asked, and what would come of it.

For explanations: the same parsing, planning and settings as of a request that is answered, and then
statements that run wherever the caller says, such as a transaction that is rolled back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from msgspec import Struct

from modules.query import execute_request
from modules.rest.errors import wire_code
from modules.rest.raised import refusal
from modules.rest.response import build_answer
from modules.rest.veil import veil
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from modules.query import Compiled, DataSource, Plan, Transaction
    from modules.rest.request import ApiRequest
    from modules.rest.response import Answer
    from modules.rest.timing import Stopwatch
    from monohull.kernel.principal import Principal

    Answers: TypeAlias = Callable[[Mapping[str, Any], ApiRequest, Principal, Stopwatch], Awaitable[Answer]]

HEADER: Final = "Explain-Denial"
"""Carries an explanation in short, where ``Prefer: explain-denial`` asked for it."""


class Prepared(Struct, frozen=True):
    """A request that is ready to be run.

    Attributes:
        request: As it was made.
        compiled: Its statement.
        plan: What the statement was made of.
        transaction: What it would run in.
        is_anonymous: A refusal means that somebody should sign in.
        hidden: Columns that the database's messages may not name; None where the caller is not limited.
    """

    request: ApiRequest
    compiled: Compiled
    plan: Plan
    transaction: Transaction
    is_anonymous: bool
    hidden: frozenset[str] | None = None


class Outcome(Struct, frozen=True, omit_defaults=True):
    """What the client is told.

    Attributes:
        status: HTTP's.
        code: Of the refusal, or None.
        message: Of the refusal, or None.
        rows: How many rows are in the answer or were written; None for a refusal.
    """

    status: int
    code: str | None = None
    message: str | None = None
    rows: int | None = None

    @property
    def is_denied(self) -> bool:
        """Whether nothing came of it."""
        return not self.rows


class Explained(Struct, frozen=True):
    """Why a request came to nothing: in short for a header, and whole."""

    header: bytes
    document: Any


class Explainer(Protocol):
    """Says why a request came to nothing; a room above registers itself as one."""

    async def explain_denial(
        self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal
    ) -> Explained | None:
        """Return the explanation, or None for callers who are not to have it, or where there is none."""
        ...


class _Unexplained:
    """Explains nothing."""

    async def explain_denial(
        self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal
    ) -> Explained | None:
        del scope, request, principal
        return None


UNEXPLAINED: Final[Explainer] = _Unexplained()


class Deferral(Protocol):
    """Promises calls that a client would rather not wait for; a room above registers itself as one."""

    async def answer(
        self,
        answers: Answers,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch,
    ) -> Answer:
        """Return the answer to a call that is promised, or what ``answers`` gives.

        Raises:
            Problem: It does not fit, or as ``answers`` raises it.
        """
        ...


class _Never:
    """Promises nothing."""

    async def answer(
        self,
        answers: Answers,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch,
    ) -> Answer:
        return await answers(scope, request, principal, watch)


NEVER: Final[Deferral] = _Never()


async def rehearse(prepared: Prepared, source: DataSource, *, max_rows: int | None) -> Outcome:
    """Run a request on ``source``, which undoes it, and return what its client would be told.

    Raises:
        Unavailable: The database does not answer.
    """
    try:
        result = await execute_request(
            source, prepared.compiled, prepared.request.values, prepared.transaction, max_exact=max_rows
        )
        result.close()
        routine = prepared.compiled.routine
        is_void = routine is not None and routine.is_void
        answer = build_answer(prepared.request, result, is_void=is_void)
    except PostgresError as error:
        shown = error if prepared.hidden is None else veil(error, prepared.hidden)
        return refused(refusal(shown, anonymous=prepared.is_anonymous))
    except Problem as problem:
        return refused(problem)
    return Outcome(answer.status, rows=result.rows)


def refused(problem: Problem) -> Outcome:
    """Return what a client is told of ``problem``."""
    return Outcome(problem.status, wire_code(problem), problem.message)
