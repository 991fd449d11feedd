"""What becomes of ticks that came while nobody was there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from monohull.kernel.cron import parse_fields
from monohull.kernel.schedules import RECORDED, Due, judge

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
NOON = NOW.replace(second=0)


def minutes(*ago: int) -> tuple[datetime, ...]:
    return tuple(NOON - timedelta(minutes=one) for one in ago)


def judged(after: timedelta, missed: str, *, limit: int = 3, fields: str = "* * * * *") -> Due:
    return judge(
        parse_fields(fields),
        ZoneInfo("UTC"),
        after=NOW - after,
        until=NOW,
        missed=missed,
        catch_up_limit=limit,
    )


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
def test_what_is_on_time_runs(missed: str) -> None:
    assert judged(timedelta(seconds=40), missed) == Due(((NOON, False),))
    assert judged(timedelta(seconds=20), missed) == Due()


def test_skip_runs_nothing_for_what_was_missed() -> None:
    due = judged(timedelta(minutes=5), "skip")
    assert due.runs == ((NOON, False),)
    assert due.missed == minutes(4, 3, 2, 1)
    assert (due.missed_in_all, due.first_missed) == (4, NOON - timedelta(minutes=4))


def test_once_runs_the_latest_for_all() -> None:
    due = judged(timedelta(minutes=5), "once")
    assert (due.runs, due.missed, due.superseded) == (((NOON, False),), (), minutes(4, 3, 2, 1))
    due = judged(timedelta(hours=5), "once", fields="0 8-11 * * *")
    eleven = NOON - timedelta(hours=1)
    assert due.runs == ((eleven, True),)
    assert due.superseded == (NOON.replace(hour=8), NOON.replace(hour=9), NOON.replace(hour=10))


def test_all_runs_the_latest_up_to_the_limit() -> None:
    due = judged(timedelta(minutes=6), "all")
    assert due.runs == (*((tick, True) for tick in minutes(3, 2, 1)), (NOON, False))
    assert (due.missed, due.missed_in_all) == (minutes(5, 4), 2)
    assert judged(timedelta(minutes=3), "all").missed == ()


def test_an_absence_of_days_is_counted_and_its_end_written_down() -> None:
    due = judged(timedelta(days=2), "skip")
    assert len(due.missed) == RECORDED
    assert due.missed_in_all == 2 * 24 * 60 - 1
