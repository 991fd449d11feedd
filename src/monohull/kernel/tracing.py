"""Spans to an OpenTelemetry collector when ``MONOHULL_OTLP_ENDPOINT`` is set; free when it is not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

from monohull import __version__
from monohull.kernel.origin import running_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.trace import Trace


class Tracing:
    """Spans to an OpenTelemetry collector, or to nowhere.

    The provider is this object's own and not the process-wide one, so that
    two applications in one test process do not share it.
    """

    def __init__(self, endpoint: str | None, *, process: str) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: otel.Tracer | None = None
        if endpoint is not None:
            resource = Resource.create(
                {"service.name": f"monohull-{process}", "service.version": __version__}
            )
            self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
            self._tracer = self._provider.get_tracer("monohull", __version__)

    @property
    def is_on(self) -> bool:
        return self._tracer is not None

    @contextmanager
    def span(
        self, name: str, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | float
    ) -> Iterator[Span]:
        """Record the block as a span below the one that runs, or below `running_trace`.

        The span is given to the block, for what is known only at its end; it
        takes attributes and records nothing when tracing is off.
        """
        if self._tracer is None:
            yield INVALID_SPAN
            return
        here = running_trace()
        parent = (
            otel.set_span_in_context(NonRecordingSpan(_remote(here))) if here and not _inside_span() else None
        )
        with self._tracer.start_as_current_span(
            name, context=parent, kind=kind, attributes=attributes
        ) as span:
            yield span

    def flush(self) -> None:
        """Send what is waiting; blocks for up to the exporter's time-out of 5 s."""
        if self._provider is not None:
            self._provider.force_flush()

    def close(self) -> None:
        """Send what is left and stop; takes up to the exporter's time-out of 5 s."""
        if self._provider is not None:
            self._provider.shutdown()


def _inside_span() -> bool:
    return otel.get_current_span().get_span_context().is_valid


def _remote(trace: Trace) -> SpanContext:
    span_id = int(trace.parent_id or trace.span_id, 16)
    return SpanContext(
        int(trace.trace_id, 16), span_id, is_remote=True, trace_flags=TraceFlags(int(trace.is_sampled))
    )
