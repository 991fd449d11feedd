"""What a span tells of a statement, and the spans of those that SQLAlchemy sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event

from monohull.kernel.database.single import TAG
from monohull.kernel.span import Kind

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from monohull.kernel.span import Span, Value
    from monohull.kernel.tracing import Tracing

MAX_QUERY_CHARACTERS: Final = 2000
"""Of a statement's text that a span has."""

_SPAN: Final = "monohull.span"


def trace_statements(engine: AsyncEngine, tracing: Tracing) -> None:
    """Make spans of the statements of ``engine``, and tag its transactions."""
    target = engine.sync_engine

    @event.listens_for(target, "begin")
    def begin(connection: Any) -> None:
        if (trace := tracing.noticed()) is not None and tracing.tags(trace):
            connection.exec_driver_sql(TAG, tracing.settings_of(trace))

    @event.listens_for(target, "before_cursor_execute")
    def before(connection: Any, _: Any, sql: str, *__: Any) -> None:
        if sql is not TAG and (trace := tracing.recorded()) is not None:
            connection.info[_SPAN] = tracing.begin(trace, operation_of(sql), Kind.CLIENT, about(sql))

    @event.listens_for(target, "after_cursor_execute")
    def after(connection: Any, *_: Any) -> None:
        span: Span | None = connection.info.pop(_SPAN, None)
        if span is not None:
            tracing.end(span)

    @event.listens_for(target, "handle_error")
    def fail(context: Any) -> None:
        connection = context.connection
        span: Span | None = None if connection is None else connection.info.pop(_SPAN, None)
        if span is not None:
            span.fail(context.original_exception)
            tracing.end(span)


def about(sql: str) -> dict[str, Value]:
    """Return the attributes of a statement; values are its parameters and no part of its text."""
    return {"db.system.name": "postgresql", "db.query.text": sql[:MAX_QUERY_CHARACTERS]}


def operation_of(sql: str) -> str:
    """Return what a statement does, as a span is called.

    >>> operation_of("select 1")
    'SELECT'
    """
    words = sql[:100].split(None, 1)
    return words[0].upper() if words else "SYNC"
