"""Spans sent to an OpenTelemetry collector; imported by `monohull.kernel.tracing` when there is one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

from monohull import __version__
from monohull.kernel.origin import running_trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monohull.kernel.trace import Trace


class Spans:
    """A provider of spans and its exporter.

    The provider is this object's own and not the process-wide one, so that
    two applications in one test process do not share it.
    """

    def __init__(self, endpoint: str, *, process: str) -> None:
        resource = Resource.create({"service.name": f"monohull-{process}", "service.version": __version__})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("monohull", __version__)

    @contextmanager
    def span(self, name: str, *, is_server: bool, attributes: Mapping[str, str | float]) -> Iterator[Span]:
        """Record the block as a span below the one that runs, or below `running_trace`."""
        here = running_trace()
        parent = (
            otel.set_span_in_context(NonRecordingSpan(_remote(here))) if here and not _inside_span() else None
        )
        kind = SpanKind.SERVER if is_server else SpanKind.INTERNAL
        with self._tracer.start_as_current_span(
            name, context=parent, kind=kind, attributes=attributes
        ) as span:
            yield span


def _inside_span() -> bool:
    return otel.get_current_span().get_span_context().is_valid


def _remote(trace: Trace) -> SpanContext:
    span_id = int(trace.parent_id or trace.span_id, 16)
    return SpanContext(
        int(trace.trace_id, 16), span_id, is_remote=True, trace_flags=TraceFlags(int(trace.is_sampled))
    )
