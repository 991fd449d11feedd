"""`Around`: what stands around an answer for those who ask for it: explanations, keys, conditions, tags.

Nearly every request asks for none of them, and is answered by the data API itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from modules.rest.conditional import (
    SERIALIZATION_FAILURE,
    ConditionMet,
    answer_read,
    answer_write,
    demand_target,
)
from modules.rest.conditional_errors import PreconditionFailed
from modules.rest.conversing import converse
from modules.rest.errors import wire_code
from modules.rest.etags import Conditions, conditions_of
from modules.rest.idempotency import key_of
from modules.rest.request import READS
from modules.rest.timing import OFF
from monohull.kernel.database.data import PostgresError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query import Compiled, DataSource
    from modules.rest.conditional import Outcome, Versions
    from modules.rest.idempotency import Once
    from modules.rest.request import ApiRequest
    from modules.rest.response import Answer
    from modules.rest.timing import Stopwatch
    from monohull.kernel.database.conversation import Conversation
    from monohull.kernel.database.data import DataPool, Isolation
    from monohull.kernel.errors import Problem
    from monohull.kernel.observation import Observer
    from monohull.kernel.principal import Principal

_NO_CONDITION: Final = Conditions()
_STRICT: Final = frozenset({"repeatable read", "serializable"})


class Answers(Protocol):
    """What this needs of the data API; `DataApi` has it."""

    async def answer(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch = OFF,
        source: DataSource | None = None,
    ) -> Answer: ...

    async def answer_explained(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch = OFF,
        source: DataSource | None = None,
    ) -> Answer: ...

    async def look_ahead(
        self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal
    ) -> tuple[ApiRequest, Compiled, Isolation | None]: ...

    async def admit(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        source: DataSource | None = None,
    ) -> None: ...

    def versions(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        source: DataSource | None,
    ) -> Versions | None: ...

    def is_nested(self, request: ApiRequest, principal: Principal) -> bool: ...

    def refused(self, error: PostgresError, principal: Principal) -> Problem: ...


class Around:
    """Answers requests by the data API, with what they ask for around that.

    Args:
        pool: Where transactions of several round trips run.
        once: Answers writes that came with a key.
        observer: Is told of conditions.
    """

    def __init__(self, pool: DataPool, once: Once, observer: Observer) -> None:
        self._pool = pool
        self._once = once
        self._observer = observer

    async def answer(  # noqa: PLR0913 a request has these parts
        self,
        api: Answers,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        *,
        body: bytes,
        watch: Stopwatch = OFF,
        source: DataSource | None = None,
    ) -> Answer:
        """Answer ``request``.

        Args:
            api: The data API.
            scope: ASGI's.
            request: As it was parsed.
            principal: Who asks.
            body: As it came, for the fingerprint.
            watch: Of the phases.
            source: The transaction that it is a part of, or None.

        Raises:
            Problem: As `DataApi.answer`, `Once.answer` and the rules of conditions raise it.
        """
        conditions = conditions_of(scope)
        ask = _Asked(api, scope, request, principal, watch, conditions or _NO_CONDITION)
        try:
            if scope["method"] in READS:
                wants_tag = conditions is not None or request.preferences.etag
                return await (self._read(ask, source) if wants_tag else ask.answer(source))
            key = None if source is not None else key_of(scope["headers"])
            if key is None and conditions is None and not api.is_nested(request, principal):
                return await ask.answer(source)
            return await self._write(ask, source, body, has_key=key is not None)
        except PostgresError as error:
            if source is not None and error.is_stale_statement:  # whoever began the transaction begins anew
                raise
            raise api.refused(error, principal) from error

    async def _read(self, ask: _Asked, source: DataSource | None) -> Answer:
        await ask.admit(source)
        versions = ask.versions(source)
        try:
            answer, is_known = await answer_read(ask.conditions, versions, partial(ask.answer, source))
        except PreconditionFailed:
            self._note(ask, "failed")
            raise
        if ask.conditions is not _NO_CONDITION:
            self._note(ask, "known" if is_known else "new")
        return answer

    async def _write(self, ask: _Asked, source: DataSource | None, body: bytes, *, has_key: bool) -> Answer:
        request, compiled, isolation = await ask.api.look_ahead(ask.scope, ask.request, ask.principal)
        is_plain = compiled.is_read_only or request.media.explain is not None
        if ask.conditions is not _NO_CONDITION:
            demand_target(request, ask.conditions)
            isolation = isolation if isolation in _STRICT else "repeatable read"
        elif is_plain:  # what only reads has nothing to be kept
            return await ask.answer(source)
        write = partial(self._write_on, ask)
        if source is not None:
            return await write(source)
        if has_key:
            return await self._once.answer(ask.scope, body, ask.principal, write, isolation=isolation)

        async def run(talk: Conversation) -> Answer:
            answer = await write(talk)
            await talk.finish()
            return answer

        try:
            return await converse(self._pool, run, isolation=isolation)
        except PostgresError as error:
            problem = ask.api.refused(error, ask.principal)
            was_changed = ask.conditions is not _NO_CONDITION and wire_code(problem) == SERIALIZATION_FAILURE
            raise (PreconditionFailed(None) if was_changed else problem) from error

    async def _write_on(self, ask: _Asked, source: DataSource) -> Answer:
        if ask.conditions is _NO_CONDITION:
            return await ask.answer(source)
        await ask.admit(source)
        versions = ask.versions(source)
        assert versions is not None
        try:
            answer = await answer_write(ask.conditions, versions, partial(ask.answer, source))
        except PreconditionFailed:
            self._note(ask, "failed")
            raise
        self._note(ask, "written")
        return answer

    def _note(self, ask: _Asked, outcome: Outcome) -> None:
        request_id: str = ask.scope["state"]["request_id"]
        self._observer.observe(ConditionMet(outcome=outcome, request_id=request_id))


class _Asked:
    """One request by one caller."""

    def __init__(  # noqa: PLR0913, PLR0917 a request has these parts
        self,
        api: Answers,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch,
        conditions: Conditions,
    ) -> None:
        self.api = api
        self.scope = scope
        self.request = request
        self.principal = principal
        self.conditions = conditions
        self._watch = watch

    async def answer(self, source: DataSource | None) -> Answer:
        answers = self.api.answer_explained if self.request.preferences.explain_denial else self.api.answer
        return await answers(self.scope, self.request, self.principal, self._watch, source)

    async def admit(self, source: DataSource | None) -> None:
        """Ask for nothing, not even versions of rows, that costs more than it may."""
        await self.api.admit(self.scope, self.request, self.principal, source)

    def versions(self, source: DataSource | None) -> Versions | None:
        return self.api.versions(self.scope, self.request, self.principal, source)
