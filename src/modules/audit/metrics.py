"""What the audit log counts and shows."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import counter, gauge

LAG_SECONDS: Final = gauge(
    "monohull_audit_lag_seconds", "Age of the oldest that waits to become an entry of the audit log."
)
ENTRIES: Final = counter("monohull_audit_entries_total", "Entries added to the audit log.")
DISTURBED: Final = counter(
    "monohull_audit_chain_disturbed_total", "Times somebody else was at the end of the audit log."
)

METRICS: Final = (LAG_SECONDS, ENTRIES, DISTURBED)
