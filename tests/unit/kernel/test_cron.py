"""Ticks of schedules, above all where wall time and elapsed time part.

The changes: Berlin 2026-03-29 02:00→03:00 and 2026-10-25 03:00→02:00; New York 2026-03-08 and 2026-11-01 at
02:00; Lord Howe by half an hour, 2026-10-04 02:00→02:30 and 2026-04-05 02:00→01:30; Cairo at midnight,
2026-04-24 00:00→01:00 and 2026-10-30 00:00→23:00; Apia left out 2011-12-30.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from monohull.kernel.cron import BadFields, UnknownZone, find_zone, next_tick, parse_fields, ticks

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def between(fields: str, zone: str, after: str, until: str) -> list[str]:
    """Return the ticks in a span of wall time, as the wall shows them, with the offset."""
    place = ZoneInfo(zone)
    begin, end = (datetime.fromisoformat(at).replace(tzinfo=place) for at in (after, until))
    found = ticks(parse_fields(fields), place, after=begin, until=end)
    return [tick.astimezone(place).isoformat(timespec="minutes")[5:] for tick in found]


@pytest.mark.parametrize(
    ("fields", "zone", "after", "until", "expected"),
    [
        # in the gap: once, at its end
        (
            "30 2 * * *",
            BERLIN,
            "2026-03-29T00:00",
            "2026-03-30T04:00",
            ["03-29T03:00+02:00", "03-30T02:30+02:00"],
        ),
        ("0 2 * * *", BERLIN, "2026-03-29T00:00", "2026-03-29T23:00", ["03-29T03:00+02:00"]),
        ("*/10 2 * * *", BERLIN, "2026-03-29T00:00", "2026-03-29T23:00", ["03-29T03:00+02:00"]),
        (
            "30 2,3 * * *",
            BERLIN,
            "2026-03-29T00:00",
            "2026-03-29T23:00",
            ["03-29T03:00+02:00", "03-29T03:30+02:00"],
        ),
        ("0 2,3 * * *", BERLIN, "2026-03-29T00:00", "2026-03-29T23:00", ["03-29T03:00+02:00"]),
        ("30 2 * * *", NEW_YORK, "2026-03-08T00:00", "2026-03-08T23:00", ["03-08T03:00-04:00"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-04T00:00", "2026-10-04T23:00", ["10-04T02:30+11:00"]),
        ("45 2 * * *", LORD_HOWE, "2026-10-04T00:00", "2026-10-04T23:00", ["10-04T02:45+11:00"]),
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2026-04-23T12:00",
            "2026-04-25T12:00",
            ["04-24T01:00+03:00", "04-25T00:00+03:00"],
        ),
        (
            "0 12 30 * *",
            "Pacific/Apia",
            "2011-12-28T00:00",
            "2012-01-31T00:00",
            ["12-31T00:00+14:00", "01-30T12:00+14:00"],
        ),
        # in the hour that comes twice: once, the first time
        (
            "30 2 * * *",
            BERLIN,
            "2026-10-25T00:00",
            "2026-10-26T04:00",
            ["10-25T02:30+02:00", "10-26T02:30+01:00"],
        ),
        (
            "*/30 2 * * *",
            BERLIN,
            "2026-10-25T00:00",
            "2026-10-25T23:00",
            ["10-25T02:00+02:00", "10-25T02:30+02:00"],
        ),
        ("0 3 * * *", BERLIN, "2026-10-25T00:00", "2026-10-25T23:00", ["10-25T03:00+01:00"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01T00:00", "2026-11-01T23:00", ["11-01T01:30-04:00"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-05T00:00", "2026-04-05T23:00", ["04-05T01:45+11:00"]),
        ("15 1 * * *", LORD_HOWE, "2026-04-05T00:00", "2026-04-05T23:00", ["04-05T01:15+11:00"]),
        ("30 23 * * *", "Africa/Cairo", "2026-10-29T12:00", "2026-10-30T12:00", ["10-29T23:30+03:00"]),
        # every hour is elapsed time: none is left out and none comes twice
        (
            "30 * * * *",
            BERLIN,
            "2026-03-29T01:00",
            "2026-03-29T04:00",
            ["03-29T01:30+01:00", "03-29T03:30+02:00"],
        ),
        (
            "30 * * * *",
            BERLIN,
            "2026-10-25T01:00",
            "2026-10-25T03:00",
            ["10-25T01:30+02:00", "10-25T02:30+02:00", "10-25T02:30+01:00"],
        ),
        (
            "*/30 * * * *",
            LORD_HOWE,
            "2026-04-05T01:00",
            "2026-04-05T02:00",
            ["04-05T01:30+11:00", "04-05T01:30+10:30", "04-05T02:00+10:30"],
        ),
        (
            "*/30 * * * *",
            LORD_HOWE,
            "2026-10-04T01:30",
            "2026-10-04T03:00",
            ["10-04T02:30+11:00", "10-04T03:00+11:00"],
        ),
        (
            "0 * 25 10 *",
            BERLIN,
            "2026-10-24T23:30",
            "2026-10-25T02:30",
            ["10-25T00:00+02:00", "10-25T01:00+02:00", "10-25T02:00+02:00"],
        ),
        # zones that are not whole hours from UTC
        ("0 9 * * *", "Asia/Kolkata", "2026-06-01T00:00", "2026-06-01T23:00", ["06-01T09:00+05:30"]),
        (
            "*/20 * * * *",
            "Asia/Kathmandu",
            "2026-06-01T00:00",
            "2026-06-01T00:40",
            ["06-01T00:20+05:45", "06-01T00:40+05:45"],
        ),
        # months that have no such day
        (
            "0 0 31 * *",
            "UTC",
            "2026-01-01T00:00",
            "2026-06-01T00:00",
            ["01-31T00:00+00:00", "03-31T00:00+00:00", "05-31T00:00+00:00"],
        ),
        (
            "0 0 29 2 *",
            "UTC",
            "2026-01-01T00:00",
            "2033-01-01T00:00",
            ["02-29T00:00+00:00", "02-29T00:00+00:00"],
        ),
        # either day suffices, unless one begins with *
        (
            "0 0 13 * 5",
            "UTC",
            "2026-02-01T00:00",
            "2026-02-15T00:00",
            ["02-06T00:00+00:00", "02-13T00:00+00:00"],
        ),
        (
            "0 0 */2 * 5",
            "UTC",
            "2026-02-01T00:00",
            "2026-02-28T00:00",
            ["02-13T00:00+00:00", "02-27T00:00+00:00"],
        ),
        (
            "0 0 * * sun",
            "UTC",
            "2026-02-01T12:00",
            "2026-02-16T00:00",
            ["02-08T00:00+00:00", "02-15T00:00+00:00"],
        ),
        (
            "0 0 * * 6-7",
            "UTC",
            "2026-02-02T12:00",
            "2026-02-09T00:00",
            ["02-07T00:00+00:00", "02-08T00:00+00:00"],
        ),
    ],
)
def test_ticks(fields: str, zone: str, after: str, until: str, expected: list[str]) -> None:
    assert between(fields, zone, after, until) == expected


@pytest.mark.parametrize("zone", [BERLIN, LORD_HOWE, "Africa/Cairo"])
@pytest.mark.parametrize("fields", ["*/17 * * * *", "30 1-2 * * *", "59 23 * * *"])
def test_a_span_cut_anywhere_has_the_same_ticks(fields: str, zone: str) -> None:
    parsed, place = parse_fields(fields), ZoneInfo(zone)
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    whole = list(ticks(parsed, place, after=begin, until=begin + timedelta(days=60)))
    assert whole == sorted(set(whole))
    cut: list[datetime] = []
    at = begin
    for hours in (700, 0.5, 1, 23.25, 40, 675.25):
        cut += ticks(parsed, place, after=at, until=at + timedelta(hours=hours))
        at += timedelta(hours=hours)
    assert cut == whole
    assert next_tick(parsed, place, whole[3]) == whole[4]


def test_the_first_of_a_span_is_left_out_and_the_last_is_not() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert list(ticks(parse_fields("0 12 * * *"), ZoneInfo("UTC"), after=noon, until=noon)) == []
    before = noon - timedelta(microseconds=1)
    assert list(ticks(parse_fields("0 12 * * *"), ZoneInfo("UTC"), after=before, until=noon)) == [noon]


@pytest.mark.parametrize(
    "fields",
    [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "1,,2 * * * *",
        "-1 * * * *",
        "* * * * fri-mon",
        "* * L * *",
        "?  * * * *",
        "* * * janu *",
        "1.5 * * * *",
        "٣ * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
    ],
)
def test_refuses_fields(fields: str) -> None:
    with pytest.raises(BadFields):
        parse_fields(fields)


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Nowhere", "/etc/passwd", "../UTC", "UTC+1", "a" * 300]
)
def test_refuses_zones(name: str) -> None:
    with pytest.raises(UnknownZone):
        find_zone(name)


def test_a_leap_day_is_found_across_a_century() -> None:
    found = next_tick(parse_fields("0 0 29 2 *"), ZoneInfo("UTC"), datetime(2096, 3, 1, tzinfo=UTC))
    assert found == datetime(2104, 2, 29, tzinfo=UTC)
