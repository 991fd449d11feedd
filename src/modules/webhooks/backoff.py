"""When a delivery that failed is tried again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Struct

from monohull.kernel.queues import Backoff

FACTOR: Final = 3.0
JITTER: Final = 0.4
"""Share of each wait that is random, so that what failed together is not repeated together."""


class Retrying(Struct, frozen=True, kw_only=True):
    """How an endpoint is tried.

    Attributes:
        base_seconds: Wait after the first failure.
        max_seconds: Longest wait between two attempts.
        window_seconds: No attempt begins later than this after the delivery was made.
        max_attempts: Attempts in all, or None where only the window counts.
    """

    base_seconds: float
    max_seconds: float
    window_seconds: float
    max_attempts: int | None = None

    def next_delay(
        self,
        attempt: int,
        age_seconds: float,
        *,
        retry_after: float | None = None,
        chance: float | None = None,
    ) -> float | None:
        """Return the seconds until the next attempt, or None when there is none.

        Args:
            attempt: The one that failed, from 1.
            age_seconds: Of the delivery.
            retry_after: What the endpoint asked for, in seconds.
            chance: In 0..1, stands for the dice.
        """
        if self.max_attempts is not None and attempt >= self.max_attempts:
            return None
        backoff = Backoff(self.base_seconds, FACTOR, self.max_seconds, JITTER)
        delay = backoff.delay_seconds(attempt, chance=chance)
        if retry_after is not None:
            delay = max(delay, retry_after)
        return delay if age_seconds + delay <= self.window_seconds else None


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for; None where it asks for nothing that can be read.

    >>> read_retry_after("120", datetime(2026, 11, 26, tzinfo=UTC))
    120.0
    >>> read_retry_after("Thu, 26 Nov 2026 00:01:00 GMT", datetime(2026, 11, 26, tzinfo=UTC))
    60.0
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
