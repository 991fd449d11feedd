from __future__ import annotations

from monohull.kernel.attempts import JobCancelled, JobFailed, JobFinished, JobStarted
from monohull.kernel.job_metrics import job_metrics
from monohull.kernel.lane import JobReturned
from monohull.kernel.metrics import Metrics
from monohull.kernel.relay import JobsSentAgain


def failure(next_seconds: float | None) -> JobFailed:
    return JobFailed(
        job="test.run",
        job_id="1",
        attempt=1,
        duration_seconds=0.1,
        error="ValueError: no",
        stack=None,
        next_seconds=next_seconds,
    )


async def test_counts_what_became_of_jobs() -> None:
    metrics = Metrics("worker")
    read = job_metrics(metrics)
    for observation in (
        JobStarted(job="test.run", job_id="1", attempt=1),
        JobFinished(job="test.run", job_id="1", attempt=1, duration_seconds=0.02),
        failure(2.0),
        failure(3.0),
        failure(None),
        JobCancelled(job="test.run", job_id="1", attempt=1, duration_seconds=0.1),
        JobReturned(job="test.run", queue="default", worker="w"),
        JobsSentAgain(jobs=7),
    ):
        read(observation)
    text = (await metrics.exposition()).decode()
    assert 'monohull_job_attempts_total{job_name="test.run",outcome="succeeded"} 1.0' in text
    assert 'monohull_job_attempts_total{job_name="test.run",outcome="failed"} 2.0' in text
    assert 'monohull_job_attempts_total{job_name="test.run",outcome="dead"} 1.0' in text
    assert 'monohull_job_attempts_total{job_name="test.run",outcome="cancelled"} 1.0' in text
    assert 'monohull_job_duration_seconds_count{job_name="test.run"} 1.0' in text
    assert 'monohull_jobs_returned_total{queue="default"} 1.0' in text
    assert "monohull_jobs_sent_again_total 7.0" in text
