"""What streams count and show."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import counter, gauge, histogram

SINK_FAILURES: Final = gauge(
    "monohull_streams_sink_failures", "Failures in a row of a sink; 0 where it takes events.", "sink"
)
EVENTS: Final = counter("monohull_streams_events_total", "Events that a sink has acknowledged.", "sink")
FAILURES: Final = counter("monohull_streams_failures_total", "Batches that a sink did not take.", "sink")
BATCH_SECONDS: Final = histogram("monohull_streams_batch_seconds", "Time until a sink took a batch.")

METRICS: Final = (SINK_FAILURES, EVENTS, FAILURES, BATCH_SECONDS)
