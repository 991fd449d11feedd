"""Periods end when the calendar says so, and a count passes its limit by nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.api_keys.dtos import Quota
from modules.api_keys.errors import QuotaExceeded
from modules.api_keys.quotas import Count, Period

EAST = timezone(timedelta(hours=5))
MOMENT = st.integers(946_684_800, 4_102_444_800).map(lambda at: datetime.fromtimestamp(at, EAST))


@pytest.mark.parametrize(
    ("kind", "at", "name", "ends"),
    [
        ("day", "2026-11-26T23:59:59+00:00", "2026-11-26", "2026-11-27"),
        ("day", "2026-12-31T00:00:00+00:00", "2026-12-31", "2027-01-01"),
        ("day", "2026-03-01T01:00:00+05:00", "2026-02-28", "2026-03-01"),
        ("month", "2026-11-30T23:59:59+00:00", "2026-11", "2026-12-01"),
        ("month", "2026-12-01T00:00:00+00:00", "2026-12", "2027-01-01"),
        ("month", "2028-02-29T12:00:00+00:00", "2028-02", "2028-03-01"),
    ],
)
def test_periods(kind: str, at: str, name: str, ends: str) -> None:
    period = Period(kind, datetime.fromisoformat(at))
    assert period.name == name
    assert datetime.fromtimestamp(period.ends_at, UTC).isoformat() == f"{ends}T00:00:00+00:00"


@given(MOMENT, st.sampled_from(["day", "month"]))
def test_a_period_holds_its_moment_and_is_followed_by_another(at: datetime, kind: str) -> None:
    period = Period(kind, at)
    assert period.ends_at - period.seconds <= at.timestamp() < period.ends_at
    following = Period(kind, datetime.fromtimestamp(period.ends_at, UTC))
    assert following.ends_at - following.seconds == period.ends_at
    assert following.name != period.name


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 20))
def test_what_others_used_counts_too(others: list[int], limit: int) -> None:
    count = Count("k", Quota(limit, "month"))
    told = allowed = 0
    for used in others:
        if told + count.untold >= limit:
            with pytest.raises(QuotaExceeded) as caught:
                count.take()
            headers = caught.value.headers
            assert headers["Retry-After"] == headers["RateLimit"].rpartition("=")[2]
        else:
            count.take()
            allowed += 1
            assert told + count.untold <= limit
        told += count.untold + used
        count.learn(told, count.untold)
    assert allowed <= limit
