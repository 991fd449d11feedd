"""The relay's vigil: while much is written it looks by itself, and nobody who writes has to wake it.

``NOTIFY`` is dear where many commit: PostgreSQL takes one lock for it, on the
whole server, and keeps that until the commit has reached the disk. Writers that
notify commit one after the other.

So a relay that finds something at every look holds an advisory lock of its
session and looks every 50 ms, or 100 while it finds much. Who writes rows tries
that lock, without waiting, and notifies only if it is free. A relay that ends
or breaks off frees it.

A transaction that began to write during the vigil may commit after it. After
its end the relay therefore looks at growing distances, so that such an event
waits about as long again as its transaction was open, and a second at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monohull.kernel.leadership import POLL_SECONDS

if TYPE_CHECKING:
    import asyncpg

LOCK: Final = int.from_bytes(b"monovigl")
RELAY_SLEEPS: Final = f"pg_try_advisory_lock_shared({LOCK}) and pg_advisory_unlock_shared({LOCK})"
"""SQL: whether the relay has to be woken. Both are called in one expression, which nothing interrupts."""

LOOK_SECONDS: Final = 0.05
"""How soon it looks again during a vigil; an event waits half of it, on average. A look costs the same
whatever it finds, and shares processors with those who write."""
LONG_LOOK_SECONDS: Final = 0.1
"""How soon after a look that found `MUCH`: who writes so much is held up by looks more than by waiting."""
MUCH: Final = 100
FIRST_REST_SECONDS: Final = 0.02
"""How soon it looks again after a vigil; then at twice the distance, and so on."""
BUSY_LOOKS: Final = 4
"""So many looks in close succession that each found something begin a vigil."""
CLOSE_SECONDS: Final = 0.5
"""They are no farther apart, also where a look itself takes long: there a vigil helps most."""
IDLE_LOOKS: Final = 5
"""So many looks that found nothing end it."""

_BEGIN: Final = "select pg_try_advisory_lock($1)"
_END: Final = "select pg_advisory_unlock($1)"


class Vigil:
    """Whether the relay that holds ``connection`` keeps a vigil, from what its looks find.

    Attributes:
        is_kept: Whether the lock is held.
        rest_seconds: How long to wait for a notification before the next look.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._busy = 0
        self._idle = 0
        self._found_at = 0.0
        self.is_kept = False
        self.rest_seconds = POLL_SECONDS

    async def note(self, *, found: int, at: float) -> None:
        """Begin or end the vigil after a look.

        Args:
            found: How many events there were.
            at: The moment of the look, of a monotonic clock in seconds.
        """
        if found:
            self._idle = 0
            self._busy = self._busy + 1 if at - self._found_at < CLOSE_SECONDS else 1
            self._found_at = at
            if not self.is_kept and self._busy >= BUSY_LOOKS:
                # who tries the lock at this moment has it for a microsecond; the next look tries again
                self.is_kept = await self._connection.fetchval(_BEGIN, LOCK)
            look = LOOK_SECONDS if found < MUCH else LONG_LOOK_SECONDS
            self.rest_seconds = look if self.is_kept else POLL_SECONDS
        elif self.is_kept:
            self._idle += 1
            if self._idle >= IDLE_LOOKS:
                await self._connection.fetchval(_END, LOCK)
                self.is_kept = False
                self._busy = 0
                self.rest_seconds = 0.0
        else:
            self.rest_seconds = min(max(self.rest_seconds * 2, FIRST_REST_SECONDS), POLL_SECONDS)
