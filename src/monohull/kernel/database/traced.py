"""Statements as spans, and the trace's id where the database's own people look for it.

What is recorded runs with ``application_name`` set for its transaction, in the
round trip that sets the role anyway: ``pg_stat_activity`` shows it while the
statement runs, ``%a`` of ``log_line_prefix`` has it in each line of the server's
log. A comment in the text, as sqlcommenter writes it, would make every statement
a new one: for the prepared statements of a connection, and for
``pg_stat_statements``. Functions find the whole context in
``monohull.traceparent``.

A process that records nothing has a `DataPool` and none of this.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from monohull.kernel.database.data import AS_LOGIN, DataPool
from monohull.kernel.database.frames import encode_value
from monohull.kernel.database.single import TAG_NAMES
from monohull.kernel.database.statement_spans import about, operation_of
from monohull.kernel.database.statements import BoundSettings
from monohull.kernel.span import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

    from monohull.kernel.database.asked import Asked
    from monohull.kernel.database.conversation import Conversation
    from monohull.kernel.database.statements import Isolation, Rows, Settings, Statement
    from monohull.kernel.trace import Trace
    from monohull.kernel.tracing import Tracing


class TracedDataPool(DataPool):
    """The pool of a process whose requests may be recorded.

    Args:
        tracing: Knows which are.
    """

    def __init__(self, url: str, *, tracing: Tracing, **options: Any) -> None:
        super().__init__(url, **options)
        self._tracing = tracing
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def run_batch(
        self,
        statements: Sequence[Statement],
        *,
        settings: Settings = (),
        commit: bool = True,
        isolation: Isolation | None = None,
        streams: bool = False,
    ) -> Coroutine[Any, Any, list[Rows]]:
        """Do what `DataPool.run_batch` does, as a span; no more than a question where none is wanted."""
        more: dict[str, Any] = {"commit": commit, "isolation": isolation, "streams": streams}
        tracing = self._tracing
        trace = tracing.noticed()
        if trace is not None and tracing.tags(trace):
            settings = self._tag(settings or AS_LOGIN, trace)
        work = super().run_batch(statements, settings=settings, **more)
        if trace is None or not tracing.records(trace):
            return work
        return self._recorded(work, statements[-1].sql if statements else "")

    def run_known(self, statement: Statement, settings: BoundSettings) -> Coroutine[Any, Any, Rows]:
        """Do what `DataPool.run_known` does, as a span; no more than a question where none is wanted."""
        tracing = self._tracing
        trace = tracing.noticed()
        if trace is None:
            return super().run_known(statement, settings)
        if tracing.tags(trace):
            settings = self._tag_bound(settings, trace)
        work = super().run_known(statement, settings)
        return self._recorded(work, statement.sql) if tracing.records(trace) else work

    def ask_known(self, asked: Asked) -> bool:  # noqa: ARG002 none is sent so
        """Leave all to `run_known`: what is recorded belongs to a task."""
        return False

    @asynccontextmanager
    async def conversation(
        self, *, isolation: Isolation | None = None, writes: bool = False, parses_anew: bool = False
    ) -> AsyncIterator[Conversation]:
        """Do what `DataPool.conversation` does, as one span."""
        trace = self._tracing.noticed()
        with self._tracing.span("TRANSACTION", Kind.CLIENT, **{"db.system.name": "postgresql"}):
            held = super().conversation(isolation=isolation, writes=writes, parses_anew=parses_anew)
            async with held as conversation:
                if trace is not None and self._tracing.tags(trace):
                    conversation.tag = tuple(zip(TAG_NAMES, self._tracing.settings_of(trace), strict=True))
                yield conversation

    async def _recorded(self, work: Coroutine[Any, Any, Any], sql: str) -> Any:
        with self._tracing.span(operation_of(sql), Kind.CLIENT, **about(sql)):
            return await work

    def _tag(self, settings: Settings, trace: Trace) -> Settings:
        if isinstance(settings, BoundSettings):
            return self._tag_bound(settings, trace)
        return (*settings, *zip(TAG_NAMES, self._tracing.settings_of(trace), strict=True))

    def _tag_bound(self, settings: BoundSettings, trace: Trace) -> BoundSettings:
        names = self._names.get(settings.names)
        if names is None:  # as few as there are kinds of requests; the same object is found sooner
            names = self._names[settings.names] = (*settings.names, *TAG_NAMES)
        values = b"".join((settings.values, *map(encode_value, self._tracing.settings_of(trace))))
        return BoundSettings(names, values, settings.is_read_only)
