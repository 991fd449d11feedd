"""Spans to an OpenTelemetry collector when ``MONOHULL_OTLP_ENDPOINT`` is set; free when it is not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Span

    from monohull.kernel.spans import Spans


class Tracing:
    """Spans to an OpenTelemetry collector, or to nowhere."""

    def __init__(self, endpoint: str | None, *, process: str) -> None:
        self._spans: Spans | None = None
        if endpoint is not None:
            from monohull.kernel.spans import Spans  # noqa: PLC0415 6 MB that nobody else needs

            self._spans = Spans(endpoint, process=process)

    @property
    def is_on(self) -> bool:
        return self._spans is not None

    @contextmanager
    def span(self, name: str, *, is_server: bool = False, **attributes: str | float) -> Iterator[Span | None]:
        """Record the block as a span below the one that runs, or below `running_trace`.

        The span is given to the block, for what is known only at its end; None when tracing is off.
        """
        if self._spans is None:
            yield None
            return
        with self._spans.span(name, is_server=is_server, attributes=attributes) as span:
            yield span

    def flush(self) -> None:
        """Send what is waiting; blocks for up to the exporter's time-out of 5 s."""
        if self._spans is not None:
            self._spans.provider.force_flush()

    def close(self) -> None:
        """Send what is left and stop; takes up to the exporter's time-out of 5 s."""
        if self._spans is not None:
            self._spans.provider.shutdown()
