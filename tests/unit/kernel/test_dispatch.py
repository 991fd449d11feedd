from __future__ import annotations

from typing import Any

import pytest
from saq.job import Job as Message
from saq.job import Status
from saq.utils import now as now_milliseconds

from monohull.kernel.attempts import describe
from monohull.kernel.dispatch import duties_of
from monohull.kernel.events import EventRegistry
from monohull.kernel.lane import OVERTIME_SECONDS, looks_lost
from monohull.kernel.ledger import MAX_ERROR_CHARACTERS, cut
from monohull.kernel.module import Module
from monohull.kernel.queues import Cron, JobError, job
from monohull.kernel.schedules import check_schedules


@job("test.tick")
async def tick(_: Any) -> None: ...


@job("test.tick")
async def same_name(_: Any) -> None: ...


@pytest.mark.parametrize("schedule", ["", "* * * *", "* * * * * *", "@daily", "every minute"])
def test_refuses_schedules_that_are_none(schedule: str) -> None:
    with pytest.raises(JobError, match="five fields"):
        check_schedules([Cron(job=tick, schedule=schedule)])


def test_refuses_schedules_of_no_place() -> None:
    with pytest.raises(JobError, match=r"no time zone is called 'Europe/Nowhere'"):
        check_schedules([Cron(job=tick, schedule="* * * * *", timezone="Europe/Nowhere")])


def test_refuses_two_schedules_of_one_name() -> None:
    cron = Cron(job=tick, schedule="* * * * *")
    with pytest.raises(JobError, match="two schedules"):
        check_schedules([cron, cron])
    check_schedules([cron, Cron(job=tick, schedule="* * * * *", name="test.second")])


def test_collects_duties() -> None:
    cron = Cron(job=tick, schedule="* * * * *")
    duties = duties_of([Module(name="m", jobs=(tick,), cron=(cron,))], EventRegistry())
    assert duties.jobs["test.tick"] is tick
    assert "kernel.deliver_event" in duties.jobs
    assert cron in duties.crons


def test_refuses_two_jobs_of_one_name() -> None:
    modules = [Module(name="m", jobs=(tick,)), Module(name="n", jobs=(same_name,))]
    with pytest.raises(JobError, match=r"two jobs are called 'test\.tick'"):
        duties_of(modules, EventRegistry())


def message(status: Status, worker: str | None, *, started_seconds_ago: float = 1) -> Message:
    started = now_milliseconds() - int(started_seconds_ago * 1000)
    return Message("test.tick", status=status, worker_id=worker, started=started, timeout=10)


@pytest.mark.parametrize(
    ("status", "worker", "started_seconds_ago", "is_lost"),
    [
        (Status.QUEUED, None, 0, True),
        (Status.ACTIVE, "alive", 1, False),
        (Status.ACTIVE, "dead", 1, True),
        (Status.ABORTING, "alive", 1, False),
        (Status.ACTIVE, "alive", 9 + OVERTIME_SECONDS, False),
        (Status.ACTIVE, "alive", 11 + OVERTIME_SECONDS, True),
    ],
)
def test_what_looks_lost(
    status: Status, worker: str | None, started_seconds_ago: float, is_lost: bool
) -> None:
    found = message(status, worker, started_seconds_ago=started_seconds_ago)
    assert looks_lost(found, {"alive"}) is is_lost


def test_errors_are_cut_to_what_a_table_keeps() -> None:
    assert cut("a\x00b") == "a\N{REPLACEMENT CHARACTER}b"
    assert len(cut("x" * 20_000)) == MAX_ERROR_CHARACTERS


def test_a_time_out_says_how_long() -> None:
    assert describe(TimeoutError(), 2.5) == "TimeoutError: no result within 2.5 s"
    assert describe(TimeoutError("the other side"), 2.5) == "TimeoutError: the other side"
    assert describe(KeyError("x"), 1) == "KeyError: 'x'"
