"""What jobs show; what becomes of them is counted by the kernel."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import gauge

WAITING: Final = gauge("monohull_jobs_waiting", "Jobs that are due and not begun.", "queue")
OLDEST_SECONDS: Final = gauge(
    "monohull_jobs_oldest_seconds", "How long the oldest of them has been due.", "queue"
)

METRICS: Final = (WAITING, OLDEST_SECONDS)
