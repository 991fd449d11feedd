"""``Server-Timing``: how long each stage of a request took, for the developer's browser.

    Server-Timing: jwt;dur=0.1, parse;dur=0.2, plan;dur=0.1, transaction;dur=1.9, response;dur=0.0

Milliseconds, in PostgREST's names: who asks, what is asked, the statement, the
database, the answer.

Source: W3C Server Timing; PostgREST 16, ``Response/Performance.hs``.
"""

from __future__ import annotations

from typing import Final

from monohull.kernel.clock import monotonic_seconds


class Stopwatch:
    """Measures stages that follow each other.

    Args:
        authentication_seconds: What went before.
    """

    __slots__ = ("_laps", "_since")

    def __init__(self, authentication_seconds: float) -> None:
        self._laps = [("jwt", authentication_seconds)]
        self._since = monotonic_seconds()

    def lap(self, name: str) -> None:
        """Say that the stage ``name`` ends now, and the next begins."""
        now = monotonic_seconds()
        self._laps.append((name, now - self._since))
        self._since = now

    def header(self) -> tuple[bytes, bytes]:
        """Return the header."""
        value = ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in self._laps)
        return (b"server-timing", value.encode())


class _Unwound(Stopwatch):
    """Measures nothing, for requests that nobody times."""

    def lap(self, name: str) -> None:
        """Do nothing."""


OFF: Final = _Unwound(0.0)
