"""The five fields of cron, and the instants that they mean in a time zone.

A schedule that names hours means wall time. Twice a year wall time and elapsed
time part, and then

- a tick in the hour that is left out happens once, at the instant the gap ends;
- a tick in the hour that comes twice happens once, the first time.

A schedule of every hour (``*`` for the hours) means elapsed time, as its author
reads it: ``*/5 * * * *`` goes on every five minutes through both hours that
have one name, and ``30 * * * *`` does nothing more when an hour is left out.

Where day of month and day of week are both given, either suffices, unless one
of the two begins with ``*``: as Vixie's cron has it, and so PostgreSQL's pg_cron.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

HORIZON: Final = timedelta(days=41 * 366)
"""How far a next tick is looked for: February 29th on a given weekday can be 40 years away."""

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_LONGEST_GAP: Final = timedelta(days=1, hours=1)
"""Samoa once left out a whole day."""

_ITEM: Final = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?")
_SPACE: Final = re.compile(r"[ \t]+")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTHS: Final = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_HOURS: Final = 24


class BadFields(ValueError):
    """What was given is no schedule, or one that never comes due."""


class UnknownZone(ValueError):
    """No time zone is called so."""


class Fields(Struct, frozen=True):
    """A schedule that was read.

    Attributes:
        weekdays: 0 is Sunday.
        is_either: Day of month or day of week suffices.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either: bool

    @property
    def is_of_every_hour(self) -> bool:
        """Whether it means elapsed time."""
        return len(self.hours) == _HOURS

    def has_day(self, day: date) -> bool:
        """Say whether there are ticks on ``day``."""
        if day.month not in self.months:
            return False
        is_day, is_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (is_day or is_weekday) if self.is_either else (is_day and is_weekday)


def parse_fields(text: str) -> Fields:
    """Read minute, hour, day of month, month and day of week.

    >>> parse_fields("*/20 8-10 * * mon-fri").minutes
    (0, 20, 40)

    Raises:
        BadFields: It says which field cannot be read, or that no date has such a day.
    """
    parts = _SPACE.split(text.strip(" \t").lower())
    if len(parts) != 5:  # noqa: PLR2004 minute to weekday
        raise BadFields(f"{text!r} is not five fields as cron has them: minute hour day month weekday")
    days, weekdays = _read(parts[2], "day", 1, 31), _read(parts[4], "weekday", 0, 7, _WEEKDAYS)
    months = _read(parts[3], "month", 1, 12, _MONTHS)
    fields = Fields(
        tuple(sorted(_read(parts[0], "minute", 0, 59))),
        tuple(sorted(_read(parts[1], "hour", 0, 23))),
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        is_either=not (parts[2].startswith("*") or parts[4].startswith("*")),
    )
    if not fields.is_either and min(days) > max(_LONGEST_MONTHS.get(month, 31) for month in months):
        raise BadFields(f"{text!r} never comes due: no month of these has such a day")
    return fields


def _read(field: str, what: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    found: set[int] = set()
    for given in field.split(","):
        item = given
        for number, name in enumerate(names, start=low):
            item = re.sub(rf"\b{name}\b", str(number), item)
        match = _ITEM.fullmatch(item)
        if match is None:
            raise BadFields(f"{given!r} is no {what}")
        begin, end, every = match.groups()
        first = low if begin is None else int(begin)
        last = first if begin is not None and every is None else high
        if begin is None and what == "weekday":
            last = high - 1  # 7 is Sunday again
        last, step = last if end is None else int(end), int(every or 1)
        if not (low <= first <= last <= high and step):
            raise BadFields(f"{given!r} is no {what}: they go from {low} to {high}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone called ``name``, such as ``Europe/Berlin`` or ``UTC``.

    Raises:
        UnknownZone: There is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # names that are folders or paths are refused in these ways
        raise UnknownZone(
            f"no time zone is called {name!r}; write one such as UTC or Europe/Berlin"
        ) from None


def next_tick(fields: Fields, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Return the first tick after ``after``, in UTC; None when there is none for 41 years."""
    return next(ticks(fields, zone, after=after, until=after + HORIZON), None)


def ticks(fields: Fields, zone: ZoneInfo, *, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the ticks in ``(after, until]`` in order, in UTC.

    >>> gap = datetime(2026, 3, 29, tzinfo=UTC)
    >>> [str(tick) for tick in ticks(
    ...     parse_fields("30 2 * * *"), ZoneInfo("Europe/Berlin"), after=gap, until=gap + _DAY)]
    ['2026-03-29 01:00:00+00:00']
    """
    find = _elapsed if fields.is_of_every_hour else _by_the_wall
    return find(fields, zone, after.astimezone(UTC), until.astimezone(UTC))


def _by_the_wall(fields: Fields, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    day = (after.astimezone(zone).replace(tzinfo=None) - _LONGEST_GAP).date()
    last = until.astimezone(zone).date() + _DAY
    reached = after
    while day <= last:
        if fields.has_day(day):
            for hour in fields.hours:
                for minute in fields.minutes:
                    tick = _instant(datetime.combine(day, time(hour, minute)), zone)
                    if reached < tick <= until:
                        yield tick
                        reached = tick
        day += _DAY


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when the wall shows ``wall`` for the first time, or when the gap ends that leaves it out."""
    late = wall.replace(tzinfo=zone).astimezone(UTC)
    if late.astimezone(zone).replace(tzinfo=None) == wall:
        return late
    early = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = (early + (late - early) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def _elapsed(fields: Fields, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    at = after.replace(second=0, microsecond=0) + _MINUTE
    while at <= until:
        here = at.astimezone(zone)
        if not fields.has_day(here.date()):
            ahead = _DAY - timedelta(hours=here.hour, minutes=here.minute)
        else:
            if here.minute in fields.minutes:
                yield at
            ahead = timedelta(minutes=_minutes_ahead(fields.minutes, here.minute))
        there = at + ahead
        # near a change each minute is looked at: the wall does not show there what it would have shown
        at = there if there.astimezone(zone).utcoffset() == here.utcoffset() else at + _MINUTE


def _minutes_ahead(minutes: tuple[int, ...], minute: int) -> int:
    """Return how far the next of ``minutes`` is.

    >>> _minutes_ahead((0, 30), 10), _minutes_ahead((0, 30), 30)
    (20, 30)
    """
    later = next((one for one in minutes if one > minute), minutes[0] + 60)
    return later - minute
