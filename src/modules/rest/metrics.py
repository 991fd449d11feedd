"""What the data API counts beside its requests."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import PROCESS, counter, process_gauge

IDEMPOTENT_WRITES: Final = counter(
    "monohull_rest_idempotent_writes_total",
    "Writes with an Idempotency-Key by what became of them.",
    "outcome",
)
BATCHES: Final = counter("monohull_rest_batches_total", "Batches by what became of them.", "outcome")
BATCH_TRIES: Final = counter(
    "monohull_rest_batch_tries_total", "Times that a batch was begun, the first included."
)

CONDITIONS: Final = counter(
    "monohull_rest_conditions_total", "Conditional requests by what became of them.", "outcome"
)

NESTED_WRITES: Final = counter(
    "monohull_rest_nested_writes_total", "Nested writes by what became of them.", "outcome"
)
NESTED_ROWS: Final = counter("monohull_rest_nested_rows_total", "Rows that nested writes wrote.")

DOCUMENTS: Final = counter(
    "monohull_rest_documents_total",
    "Descriptions of the data API that were asked for, by kind and by whether they had to be made.",
    "kind",
    "outcome",
)

PAGES: Final = counter("monohull_rest_pages_total", "Pages by cursor by the way they were reached.", "way")

GUARD: Final = counter(
    "monohull_rest_guard_total",
    "Requests of callers with ceilings: planner asked, its answer remembered, request refused.",
    "outcome",
)

CACHE_READS: Final = counter(
    "monohull_rest_cache_reads_total", "Reads of cached tables by where their answer came from.", "outcome"
)
CACHE_STORES: Final = counter(
    "monohull_rest_cache_stores_total",
    "Answers that were kept, by level; refused are those that were too large or not to be shared.",
    "level",
)
CACHE_NOTICES: Final = counter(
    "monohull_rest_cache_notices_total", "Commits to cached tables that this process was told of.", PROCESS
)
CACHE_BYTES: Final = process_gauge(
    "monohull_rest_cache_memory_bytes",
    "Size of the answers in memory, with outdated ones that were not met yet.",
)
CACHE_HEARTBEAT: Final = process_gauge(
    "monohull_rest_cache_heartbeat_age_seconds",
    "How long ago the last heartbeat began that proved that nothing was missed; 0 without cached tables.",
    merge="max",
)

METRICS: Final = (
    IDEMPOTENT_WRITES,
    BATCHES,
    BATCH_TRIES,
    CONDITIONS,
    NESTED_WRITES,
    NESTED_ROWS,
    DOCUMENTS,
    PAGES,
    GUARD,
    CACHE_READS,
    CACHE_STORES,
    CACHE_NOTICES,
    CACHE_BYTES,
    CACHE_HEARTBEAT,
)
