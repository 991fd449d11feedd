"""What schedules count and show."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import counter, gauge

OVERDUE_SECONDS: Final = gauge(
    "monohull_schedules_overdue_seconds", "For how long the most overdue schedule waits for the relay."
)
RUNS: Final = counter(
    "monohull_schedule_runs_total",
    "Runs of schedules that ended or did not happen.",
    "schedule",
    "outcome",
)

METRICS: Final = (OVERDUE_SECONDS, RUNS)
