"""Counts what became of jobs, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.attempts import JobFailed, JobFinished
from monohull.kernel.lane import JobReturned
from monohull.kernel.relay import JobsSentAgain

if TYPE_CHECKING:
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observation, Reader


def job_metrics(metrics: Metrics) -> Reader:
    """Return the reader to add to a worker's `Observer`. The job's name is a label: the list is closed."""
    attempts = metrics.counter(
        "monohull_job_attempts", "Attempts by job and how they ended.", "job", "outcome"
    )
    duration = metrics.histogram("monohull_job_duration_seconds", "Time a successful attempt took.", "job")
    returned = metrics.counter("monohull_jobs_returned", "Jobs taken back from dead workers.", "queue")
    again = metrics.counter("monohull_jobs_sent_again", "Jobs that Redis had lost.")

    def read(observation: Observation) -> None:
        match observation:
            case JobFinished(job=job, duration_seconds=seconds):
                attempts.labels(job, "succeeded").inc()
                duration.labels(job).observe(seconds)
            case JobFailed(job=job, next_seconds=following):
                attempts.labels(job, "dead" if following is None else "failed").inc()
            case JobReturned(queue=queue):
                returned.labels(queue).inc()
            case JobsSentAgain(jobs=jobs):
                again.inc(jobs)
            case _:
                pass

    return read
