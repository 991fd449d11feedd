"""Declarations: what a name must look like, and that no two are one."""

from __future__ import annotations

import pytest

from monohull.kernel.metric import Metric, MetricError, catalogue_of, counter, gauge, histogram


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("monohull_jobs", "ends with _total"),
        ("jobs_total", "a name is monohull_"),
        ("monohull_Jobs_total", "a name is monohull_"),
        ("monohull_jobs_count_total", "before the end"),
        ("monohull_job_milliseconds_total", "base units"),
        ("monohull_read_kb_total", "base units"),
    ],
    ids=["counter", "prefix", "case", "reserved", "milliseconds", "kilobytes"],
)
def test_a_name_against_the_conventions_is_refused(name: str, says: str) -> None:
    with pytest.raises(MetricError, match=says):
        counter(name, "Jobs.")


def test_what_else_is_refused() -> None:
    with pytest.raises(MetricError, match="nothing else does"):
        gauge("monohull_jobs_total", "Jobs.")
    with pytest.raises(MetricError, match="ends with its unit"):
        histogram("monohull_jobs", "Jobs.")
    with pytest.raises(MetricError, match="'job' is added by whoever scrapes"):
        counter("monohull_jobs_total", "Jobs.", "job")
    with pytest.raises(MetricError, match="no name for a label"):
        counter("monohull_jobs_total", "Jobs.", "a-b")
    with pytest.raises(MetricError, match="comes twice"):
        counter("monohull_jobs_total", "Jobs.", "a", "a")
    with pytest.raises(MetricError, match="full stop"):
        counter("monohull_jobs_total", "Jobs")


def test_units_and_series() -> None:
    seconds = histogram("monohull_job_duration_seconds", "Jobs.")
    assert seconds.unit == "seconds"
    assert seconds.series == tuple(
        f"monohull_job_duration_seconds_{end}" for end in ("bucket", "count", "sum")
    )
    assert counter("monohull_read_bytes_total", "Bytes.").unit == "bytes"
    assert counter("monohull_jobs_total", "Jobs.").unit == "count"
    assert gauge("monohull_build_info", "Build.").unit == "info"


@pytest.mark.parametrize(
    "metrics",
    [
        (gauge("monohull_jobs", "Jobs."), gauge("monohull_jobs", "Other.")),
        (
            histogram("monohull_job_seconds", "Jobs."),
            Metric(name="monohull_job_seconds", kind="gauge", meaning="Jobs."),
        ),
    ],
    ids=["same", "histogram and gauge"],
)
def test_a_name_is_declared_once(metrics: tuple[Metric, ...]) -> None:
    with pytest.raises(MetricError, match="declared twice"):
        catalogue_of(metrics)
