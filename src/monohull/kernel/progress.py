"""How far a job has come, said by itself: ``await progress(0.4, "page 4 of 10")``.

A job may say so as often as it likes: the ledger is written once a second at
most, and what was said in between goes along with the worker's next heartbeat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final, TypeAlias

from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds

INTERVAL_SECONDS: Final = 1.0
MAX_TEXT: Final = 500
"""Characters that are kept."""


class Said(Struct, frozen=True):
    """What a job said of itself; ``share`` is 0.0 to 1.0."""

    share: float
    text: str | None


Write: TypeAlias = Callable[[Said], Awaitable[None]]


class Progress:
    """What one attempt says, and when it was last written down.

    Args:
        write: Writes to the ledger; called once in `INTERVAL_SECONDS` at most.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._unwritten: Said | None = None
        self._written_at = float("-inf")

    async def say(self, said: Said) -> None:
        """Write ``said`` down, now or later."""
        self._unwritten = said
        if monotonic_seconds() - self._written_at >= INTERVAL_SECONDS:
            self._written_at = monotonic_seconds()
            self._unwritten = None
            await self._write(said)

    def take(self) -> Said | None:
        """Return what was said and not written, for somebody who writes it now."""
        said, self._unwritten = self._unwritten, None
        return said


current_progress: ContextVar[Progress | None] = ContextVar("current_progress", default=None)
"""Of the attempt that this task makes."""


async def progress(share: float, text: str | None = None) -> None:
    """Say how far this job has come; does nothing where no job runs.

    Args:
        share: 0.0 to 1.0; what lies outside is cut.
        text: For people; cut at `MAX_TEXT` characters.
    """
    running = current_progress.get()
    if running is not None:
        kept = None if text is None else text.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:MAX_TEXT]
        await running.say(Said(min(max(share, 0.0), 1.0), kept))
