"""Traces: which requests and jobs are recorded, and the spans of those that are.

    with tracing.span("smtp send", Kind.CLIENT, **{"server.address": host}):
        ...

Every request and every job has a `Trace` whether or not anybody collects them,
so that its id is in the log, the ledger and the answer. Spans are made of those
that are sampled, and only where ``MONOHULL_OTLP_ENDPOINT`` says where to; a
request that is not sampled pays for the question.

Source: W3C Trace Context; OpenTelemetry, "Tracing SDK", section "Sampling".
"""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from monohull import __version__
from monohull.kernel.clock import unix_nanoseconds
from monohull.kernel.origin import running_trace
from monohull.kernel.span import Kind, Span, current_span
from monohull.kernel.trace import Trace, continue_trace, current_trace, new_span_id
from monohull.kernel.trace_export import Exporter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextvars import Token
    from types import TracebackType

    from monohull.kernel.observation import Observer
    from monohull.kernel.settings import CoreSettings
    from monohull.kernel.span import Value

__all__ = ["OFF", "Kind", "Span", "Tracing", "trace_headers"]

Tags: TypeAlias = Literal["off", "recorded", "all"]
NANOSECONDS: Final = 1_000_000_000


class Tracing:
    """What records the work of one process, or does not.

    Args:
        process: ``api``, ``worker`` or ``cli``.
        exporter: Takes the spans; None: there are none.
        ratio: Share of the traces that begin here, 0 to 1, that is recorded.
        keeps_parent: Whether a caller decides for the traces that it began.
        tags: Whose statements carry the trace's id: of what is ``recorded``, of ``all``, or none.
    """

    def __init__(
        self,
        process: str,
        exporter: Exporter | None = None,
        *,
        ratio: float = 1.0,
        keeps_parent: bool = True,
        tags: Tags = "recorded",
    ) -> None:
        self.exporter = exporter
        self.is_on: Final = exporter is not None
        self._name = f"monohull-{process}"
        self._bound = round(ratio * (1 << 64))
        self._keeps_parent = keeps_parent
        self._tags_all = tags == "all"
        self._tags = tags == "all" or (tags == "recorded" and self.is_on)

    @property
    def reaches_sql(self) -> bool:
        """Whether there is ever anything to be done about a statement: a span or a tag."""
        return self.is_on or self._tags

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send spans for as long as the block runs."""
        if self.exporter is None:
            yield
            return
        async with self.exporter.running():
            yield

    async def flush(self) -> None:
        """Send at once what waits."""
        if self.exporter is not None:
            await self.exporter.flush()

    def decide(self, trace: Trace) -> Trace:
        """Return the trace as it is to go on: sampled or not.

        Whoever has the trace's id comes to the same decision, so that a trace is recorded as a whole.
        """
        if not self.is_on or (self._keeps_parent and trace.parent_id is not None):
            return trace
        is_sampled = int(trace.trace_id[16:], 16) < self._bound
        return trace if is_sampled == trace.is_sampled else _with_decision(trace, is_sampled)

    def unsampled(self, trace: Trace) -> Trace:
        """Return the trace as one that is not recorded."""
        return _with_decision(trace, is_sampled=False) if self.is_on else trace

    def recorded(self) -> Trace | None:
        """Return the trace that this task works for, if it is recorded."""
        trace = running_trace() if self.is_on else None
        return trace if trace is not None and trace.is_sampled else None

    def noticed(self) -> Trace | None:
        """Return the trace that this task works for, if anything is to be done about its statements.

        It is for those to ask who know that `reaches_sql`.
        """
        trace = running_trace()
        return trace if trace is not None and (trace.is_sampled or self._tags_all) else None

    def records(self, trace: Trace) -> bool:
        """Whether there are spans of ``trace``."""
        return self.is_on and trace.is_sampled

    def tags(self, trace: Trace) -> bool:
        """Whether statements that work for ``trace`` carry its id."""
        return self._tags and (trace.is_sampled or self._tags_all)

    def tag_of(self, trace: Trace) -> str:
        """Return the ``application_name`` of statements that work for ``trace``; PostgreSQL keeps 63 bytes.

        >>> Tracing("api").tag_of(Trace("r", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))
        'monohull-api trace_id=0af7651916cd43dd8448eb211c80319c'
        """
        return f"{self._name} trace_id={trace.trace_id}"

    def settings_of(self, trace: Trace) -> tuple[str, str]:
        """Return the tag, and the context in which functions go on with the trace (`database.traced`)."""
        return self.tag_of(trace), trace.traceparent

    def span(self, name: str, kind: Kind = Kind.INTERNAL, /, **attributes: Value) -> Recording:
        """Record the block as a span of the trace that this task works for.

        The block gets the span, for what is known only at its end; None where nothing is recorded.
        """
        trace = self.recorded()
        return NOTHING if trace is None else Recording(self, self.begin(trace, name, kind, attributes))

    def begin(self, trace: Trace, name: str, kind: Kind, attributes: dict[str, Value]) -> Span:
        """Return a span that begins now, below the innermost one or what ``trace`` is of; see `end`."""
        above = current_span.get()
        parent = trace.span_id if above is None or above.trace_id != trace.trace_id else above.span_id
        return Span(
            name,
            kind,
            trace.trace_id,
            new_span_id(),
            parent,
            unix_nanoseconds(),
            attributes=attributes,
            state=trace.state,
        )

    def end(self, span: Span) -> None:
        """Note that a span is over, and have it sent."""
        span.ended_ns = unix_nanoseconds()
        assert self.exporter is not None
        self.exporter.add(span)

    def end_whole(  # noqa: PLR0913 a span has these parts
        self,
        trace: Trace,
        name: str,
        kind: Kind,
        *,
        seconds: float,
        attributes: dict[str, Value],
        error: str | None = None,
    ) -> None:
        """Have the span sent that is ``trace``'s own, of a request or a job that took ``seconds``."""
        now = unix_nanoseconds()
        began = now - int(seconds * NANOSECONDS)
        span = Span(name, kind, trace.trace_id, trace.span_id, trace.parent_id, began, now, attributes)
        span.error, span.state = error, trace.state
        assert self.exporter is not None
        self.exporter.add(span)

    @contextmanager
    def following(
        self, traceparent: str | None, request_id: str | None, name: str, kind: Kind, /, **attributes: Value
    ) -> Iterator[Following]:
        """Do the block for the trace that travelled with an event, as a span of its own.

        Where nothing is recorded, log lines have the trace all the same, and it is handed on as it came.
        """
        if not traceparent:
            yield Following(None, None)
            return
        trace = self.decide(continue_trace(traceparent, request_id))
        token = current_trace.set(trace)
        try:
            if not self.records(trace):
                yield Following(traceparent, None)
                return
            span = self.begin(trace, name, kind, attributes)
            span.span_id, span.parent_id = trace.span_id, trace.parent_id
            with Recording(self, span):
                yield Following(span.traceparent, span)
        finally:
            current_trace.reset(token)


class Following:
    """The work that `Tracing.following` records.

    Attributes:
        traceparent: What is handed on.
        span: Of the work, or None.
    """

    __slots__ = ("span", "traceparent")

    def __init__(self, traceparent: str | None, span: Span | None) -> None:
        self.traceparent = traceparent
        self.span = span


class Recording:
    """A block as a span; one object and no generator, which would take three times as long."""

    __slots__ = ("_span", "_token", "_tracing")

    def __init__(self, tracing: Tracing, span: Span | None) -> None:
        self._tracing = tracing
        self._span = span
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Span | None:
        if self._span is not None:
            self._token = current_span.set(self._span)
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if self._span is None or self._token is None:
            return
        current_span.reset(self._token)
        if error is not None:
            self._span.fail(error)
        self._tracing.end(self._span)


def _with_decision(trace: Trace, is_sampled: bool) -> Trace:
    return Trace(trace.request_id, trace.trace_id, trace.span_id, trace.parent_id, is_sampled, trace.state)


OFF: Final = Tracing("off", tags="off")
"""For commands and tests that record nothing."""

NOTHING: Final = Recording(OFF, None)


def trace_headers() -> dict[str, str]:
    """Return the headers by which what this task calls becomes a part of its trace; none without one."""
    trace = running_trace()
    if trace is None:
        return {}
    span = current_span.get()
    is_inside = span is not None and span.trace_id == trace.trace_id and trace.is_sampled
    parent = span.traceparent if is_inside and span is not None else trace.traceparent
    own = {"traceparent": parent, "X-Request-Id": trace.request_id}
    return own if trace.state is None else own | {"tracestate": trace.state}


def build_tracing(core: CoreSettings, *, process: str, observer: Observer) -> Tracing:
    """Return what records the work of this process, as the settings say."""
    ratio, keeps_parent = core.otlp_sample_ratio, core.otlp_sampler == "parentbased_traceidratio"
    rest: Any = {"ratio": ratio, "keeps_parent": keeps_parent, "tags": core.sql_trace_tags}
    if core.otlp_endpoint is None:
        return Tracing(process, **rest)
    resource: dict[str, Value] = {
        "service.name": f"monohull-{process}",
        "service.version": __version__,
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        "deployment.environment.name": core.env,
        "telemetry.sdk.name": "monohull",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
    }
    exporter = Exporter(
        core.otlp_endpoint,
        headers=core.collector_headers,
        resource=resource,
        room=core.otlp_queue_spans,
        observer=observer,
    )
    return Tracing(process, exporter, **rest)
