"""Counts what became of jobs and events, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel import core_metrics as core
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
    attempts, duration = metrics.counter(core.JOB_ATTEMPTS), metrics.histogram(core.JOB_SECONDS)
    returned, again = metrics.counter(core.JOBS_RETURNED), metrics.counter(core.JOBS_SENT_AGAIN)
    relayed = metrics.counter(core.EVENTS_RELAYED)
    read_events, unread = metrics.counter(core.FEED_EVENTS_READ), metrics.counter(core.FEED_UNREAD_DELETED)

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
