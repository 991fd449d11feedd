"""Logs, metrics and traces of one process: the three readers of observations.

Logs go to stderr, one JSON object a line in production. Standard-library
loggers (Litestar, Granian, SAQ, Alembic) are brought into the same shape.
Metrics are Prometheus'; traces go to an OpenTelemetry collector when
``MONOHULL_OTLP_ENDPOINT`` is set, and cost nothing when it is not.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from monohull import __version__
from monohull.kernel.observation import Observation
from monohull.kernel.trace import Trace, current_trace

if TYPE_CHECKING:
    from monohull.kernel.settings import CoreSettings

MASK: Final = "[redacted]"
_SENSITIVE_NAME: Final = re.compile(r"(?i)authorization|apikey|api_key|cookie|password|passwd|secret|token|credential")
_SENSITIVE_TEXT: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a JWT
    r"|sb_(?:secret|publishable)_[A-Za-z0-9_-]+"  # an API key of ours
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user and password in a URL
)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask whatever looks like a secret, by the name of the field and by the look of the text."""
    for name, value in event.items():
        if _SENSITIVE_NAME.search(name):
            event[name] = MASK
        elif isinstance(value, str):
            event[name] = _SENSITIVE_TEXT.sub(MASK, value)
    return event


def _json(event: Mapping[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def configure_logging(core: CoreSettings, *, process: str) -> None:
    """Set up structlog and the standard library's loggers for this process."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        _add_process(process),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_json)
        if core.effective_log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    level = logging.getLevelNamesMapping()[core.log_level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [_add_logger_name, *shared],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"structured": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": max(level, logging.INFO)},
            "loggers": {
                name: {"level": max(level, logging.WARNING)}
                for name in ("alembic", "httpx", "httpcore", "saq", "sqlalchemy", "litestar", "asyncio", "opentelemetry")
            },
        }
    )


def _add_process(process: str) -> Any:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", process)
        if (trace := current_trace.get()) is not None:
            event.setdefault("request_id", trace.request_id)
        return event

    return add


def _add_logger_name(logger: Any, _: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    event["logger"] = record.name if record is not None else getattr(logger, "name", "root")
    return event


def log_reader() -> Any:
    """Return the reader that writes each observation as one line."""
    logger = structlog.get_logger()

    def read(observation: Observation) -> None:
        fields = {name: value for name in observation.__struct_fields__ if (value := getattr(observation, name)) is not None}
        getattr(logger, observation.level)(observation.event, **fields)

    return read


class Tracing:
    """Spans to an OpenTelemetry collector, or to nowhere.

    The provider is this object's own and not the process-wide one, so that
    two applications in one test process do not share it.
    """

    def __init__(self, endpoint: str | None, *, process: str) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: otel.Tracer | None = None
        if endpoint is not None:
            resource = Resource.create({"service.name": f"monohull-{process}", "service.version": __version__})
            self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
            self._tracer = self._provider.get_tracer("monohull", __version__)

    @property
    def is_on(self) -> bool:
        return self._tracer is not None

    @contextmanager
    def span(self, name: str, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int | float) -> Iterator[None]:
        """Record the block as a span below the one that runs, or below `current_trace`."""
        if self._tracer is None:
            yield
            return
        here = current_trace.get()
        parent = otel.set_span_in_context(NonRecordingSpan(_remote(here))) if here and not _inside_span() else None
        with self._tracer.start_as_current_span(name, context=parent, kind=kind, attributes=attributes):
            yield

    def close(self) -> None:
        """Send what is left and stop; takes up to the exporter's time-out of 5 s."""
        if self._provider is not None:
            self._provider.shutdown()


def _inside_span() -> bool:
    return otel.get_current_span().get_span_context().is_valid


def _remote(trace: Trace) -> SpanContext:
    span_id = int(trace.parent_id or trace.span_id, 16)
    return SpanContext(int(trace.trace_id, 16), span_id, is_remote=True, trace_flags=TraceFlags(int(trace.is_sampled)))
