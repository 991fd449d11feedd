"""Ask a hook that takes long while no transaction is open.

A hook over HTTP or in Python may take seconds. Were it asked from within the unit
of work whose rows it is about, each of those seconds would hold a connection of
the pool and the locks of those rows. So the unit of work is rehearsed: where it
comes to such a hook it is rolled back, the hook is asked, and the unit runs again
from its beginning with the answer at hand. Who is refused has changed nothing.

An answer counts for the question that was asked. Ids and times which a unit of work
makes up itself are therefore made by `once`; when the rows themselves changed
meanwhile the question is another one, and the hook is asked again.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.database.engine import Database

T = TypeVar("T")
Answer: TypeAlias = "Mapping[str, Any]"

ISSUED_AT: Final = "issued_at"
"""Under what `once` makes the ``iat`` of a token; a token older than a change of its user is refused."""

MAX_QUESTIONS: Final = 6
"""In one unit of work: two hooks, each about something that changed twice while it was asked."""


class Question(Exception):
    """A unit of work needs the answer of a hook; rolls it back.

    Args:
        point: Which hook.
        payload: What it gets.
        gist: What of the payload the answer depends on: without times that pass by themselves.
    """

    def __init__(self, point: str, payload: Mapping[str, Any], gist: Any) -> None:
        super().__init__(point)
        self.point = point
        self.payload = payload
        self.gist = gist


class OutdatedAnswer(Exception):
    """The rows changed since the hook was asked; rolls the unit of work back, which then asks again."""


class TooManyQuestions(Exception):
    """What the hook is asked about changes faster than it answers."""


class Rehearsal:
    """What is known already while a unit of work runs again: answers, and what `once` made."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[Any, Answer]] = {}
        self.made: dict[str, Any] = {}
        self.questions = 0

    def answer(self, question: Question) -> Answer:
        """Return the answer to ``question``.

        Raises:
            Question: It was not asked yet.
            OutdatedAnswer: Another one was asked; what is asked next is as of now.
        """
        if question.point not in self.answers:
            raise question
        gist, answer = self.answers[question.point]
        if gist != question.gist:
            del self.answers[question.point]
            self.made.pop(ISSUED_AT, None)
            raise OutdatedAnswer(question.point)
        return answer


_CURRENT: Final[ContextVar[Rehearsal | None]] = ContextVar("auth.rehearsal", default=None)


def current() -> Rehearsal | None:
    """Return the rehearsal that goes on, if one does."""
    return _CURRENT.get()


def once(name: str, make: Callable[[], T]) -> T:
    """Return what ``make`` makes: the same each time that a unit of work comes here under ``name``."""
    rehearsal = _CURRENT.get()
    if rehearsal is None:
        return make()
    if name not in rehearsal.made:
        rehearsal.made[name] = make()
    made: T = rehearsal.made[name]
    return made


async def rehearse(
    database: Database,
    body: Callable[[AsyncSession], Awaitable[T]],
    ask: Callable[[Question], Awaitable[Answer]],
) -> T:
    """Run ``body`` in a unit of work; ``ask`` is called between two runs, while none is open.

    Raises:
        TooManyQuestions: It asked something else each time.
    """
    rehearsal = Rehearsal()
    token = _CURRENT.set(rehearsal)
    try:
        while True:
            try:
                async with database.unit_of_work() as work:
                    return await body(work)
            except OutdatedAnswer:
                continue
            except Question as question:
                asked = question
            rehearsal.questions += 1
            if rehearsal.questions > MAX_QUESTIONS:
                raise TooManyQuestions(asked.point)
            rehearsal.answers[asked.point] = (asked.gist, await ask(asked))
    finally:
        _CURRENT.reset(token)
