"""What auth counts and shows; requests to its routes are counted as all are."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import PROCESS, counter, process_gauge

CACHE_ENTRIES: Final = process_gauge("monohull_token_cache_entries", "Verified tokens that are remembered.")
CACHE_HITS: Final = counter("monohull_token_cache_hits_total", "Tokens that were remembered.", PROCESS)
CACHE_MISSES: Final = counter("monohull_token_cache_misses_total", "Tokens that had to be verified.", PROCESS)
DENYLIST_ENTRIES: Final = process_gauge(
    "monohull_denylist_entries", "Ended sessions and changed users that a process knows.", merge="max"
)
LEGACY_KEYS: Final = counter(
    "monohull_legacy_keys_total",
    "Times a legacy key was verified, once a minute for one that is in use.",
    "role",
    "outcome",
)

METRICS: Final = (CACHE_ENTRIES, CACHE_HITS, CACHE_MISSES, DENYLIST_ENTRIES, LEGACY_KEYS)
