"""Waits grow, stay below their limit and end with the window."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from modules.webhooks.backoff import Retrying, read_retry_after
from modules.webhooks.settings import WebhooksSettings

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)


def usual() -> Retrying:
    settings = WebhooksSettings()
    return Retrying(
        base_seconds=settings.retry_base_seconds,
        max_seconds=settings.retry_max_seconds,
        window_seconds=settings.retry_hours * 3600,
    )


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_usual_schedule_takes_three_days(chance: float) -> None:
    waits: list[float] = []
    while (delay := usual().next_delay(len(waits) + 1, sum(waits), chance=chance)) is not None:
        waits.append(delay)
    assert waits == sorted(waits)
    assert max(waits) <= 21_600
    assert 65 * 3600 <= sum(waits) <= 72 * 3600
    assert 15 <= len(waits) <= 30


def test_jitter_parts_what_failed_together() -> None:
    waits = {usual().next_delay(3, 0) for _ in range(50)}
    assert len(waits) > 40
    assert all(wait is not None and 45 * 0.6 <= wait <= 45 for wait in waits)


def test_the_last_attempt_is_the_last() -> None:
    thrice = Retrying(base_seconds=1, max_seconds=2, window_seconds=100, max_attempts=3)
    assert thrice.next_delay(2, 0) is not None
    assert thrice.next_delay(3, 0) is None
    assert thrice.next_delay(1, 99.9) is None


def test_retry_after_lengthens_and_never_shortens() -> None:
    assert usual().next_delay(1, 0, retry_after=60) == 60
    assert usual().next_delay(5, 0, retry_after=1, chance=1.0) == 405


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("120", 120.0),
        ("Thu, 26 Nov 2026 12:01:00 GMT", 60.0), ("Thu, 26 Nov 2026 11:00:00 GMT", 0.0),
        ("9" * 400, 999_999_999.0), ("٣", None), ("Thu, 99 Nov 2026 11:00:00 GMT", None),
        ("Thu, 26 Nov 99999999999999999999 12:00:00 GMT", None),
    ],
    ids=str,
)  # fmt: skip
def test_reading_retry_after(text: str | None, seconds: float | None) -> None:
    assert read_retry_after(text, AT) == seconds
