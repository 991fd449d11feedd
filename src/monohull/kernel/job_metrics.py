"""Counts what became of jobs and events, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.attempts import JobCancelled, JobFailed, JobFinished
from monohull.kernel.feed_reader import EventsRead
from monohull.kernel.housekeeping import UnreadEventsDeleted
from monohull.kernel.lane import JobReturned
from monohull.kernel.relay import EventsRelayed, JobsSentAgain

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

    relayed = metrics.counter("monohull_events_relayed", "Events that were numbered and handed on.")
    read_events = metrics.counter(
        "monohull_feed_events_read", "Events that readers of the feed took.", "reader"
    )
    unread = metrics.counter(
        "monohull_feed_unread_events_deleted", "Events deleted before all had read them."
    )

    def read(observation: Observation) -> None:
        match observation:
            case JobFinished(job=job, duration_seconds=seconds):
                attempts.labels(job, "succeeded").inc()
                duration.labels(job).observe(seconds)
            case JobFailed(job=job, next_seconds=following):
                attempts.labels(job, "dead" if following is None else "failed").inc()
            case JobCancelled(job=job):
                attempts.labels(job, "cancelled").inc()
            case JobReturned(queue=queue):
                returned.labels(queue).inc()
            case JobsSentAgain(jobs=jobs):
                again.inc(jobs)
            case EventsRelayed(events=events):
                relayed.inc(events)
            case EventsRead(reader=reader, events=events):
                read_events.labels(reader).inc(events)
            case UnreadEventsDeleted(events=events):
                unread.inc(events)
            case _:
                pass

    return read
