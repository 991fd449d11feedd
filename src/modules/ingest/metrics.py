"""What ingest counts and shows."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import counter, gauge

LAG_MESSAGES: Final = gauge(
    "monohull_ingest_lag_messages",
    "Messages that waited in the broker when its consumer last looked.",
    "source",
)
DEAD_LETTERS: Final = gauge(
    "monohull_ingest_dead_letters", "Messages that were given up and not replayed.", "source"
)
MESSAGES: Final = counter(
    "monohull_ingest_messages_total",
    "Messages by source and what became of them: taken, duplicate, retrying or dead.",
    "source",
    "outcome",
)
FAILURES: Final = counter("monohull_ingest_failures_total", "Times that a source could not go on.", "source")

METRICS: Final = (LAG_MESSAGES, DEAD_LETTERS, MESSAGES, FAILURES)
