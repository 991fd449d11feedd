"""The only place that reads the time, so that tests can say what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def unix_seconds() -> int:
    """Return the current time as whole seconds since 1970, as JWT claims count it."""
    return int(time.time())


unix_nanoseconds = time.time_ns
"""Return the current time as whole nanoseconds since 1970, as traces count it."""

monotonic_seconds = time.monotonic
"""Return seconds of a clock that never goes back, for durations and deadlines.

No function of our own around it: it is asked ten times a request.
"""
