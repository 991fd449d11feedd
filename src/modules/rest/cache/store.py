"""`Store`: answers in memory, the least recently used first to go.

Whether one still holds is seen when it is asked for: by the commits that were heard of since it was kept.
So a commit costs the same however many answers it outdates; they go when they are met, or for room.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds

if TYPE_CHECKING:
    from collections.abc import Hashable

    from modules.rest.response import RawHeaders

ENTRY_BYTES: Final = 1500
"""What an answer takes beside its body: headers, key and place; generously."""

Tokens: TypeAlias = tuple[Any, ...]
"""What changes with each commit to the tables of an answer, with their structure, and with each gap."""


class Entry(Struct, frozen=True):
    """An answer with the status 200.

    Attributes:
        headers: But for ``Cache-Status``.
        lines: The same, written, without the length of the body.
        tokens: As they were when it was asked for.
        until: Monotonic seconds.
    """

    headers: RawHeaders
    lines: bytes
    body: bytes
    tokens: Tokens
    until: float


class Store:
    """Answers of one process.

    Args:
        most_bytes: Of all of them.
        most_entry_bytes: Of one body.
    """

    def __init__(self, most_bytes: int, most_entry_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._most_entry_bytes = min(most_entry_bytes, most_bytes)
        self._kept: OrderedDict[Hashable, Entry] = OrderedDict()
        self.bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Entry | None:
        """Return what is kept, whether it still holds or not."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def fits(self, body: bytes) -> bool:
        """Say whether a body is small enough to be kept."""
        return len(body) <= self._most_entry_bytes

    def put(self, key: Hashable, entry: Entry) -> None:
        """Keep an answer that fits; others go for it."""
        self.discard(key)
        self._kept[key] = entry
        self.bytes += len(entry.body) + ENTRY_BYTES
        while self.bytes > self._most_bytes and self._kept:
            _, gone = self._kept.popitem(last=False)
            self.bytes -= len(gone.body) + ENTRY_BYTES
            self.evicted += 1

    def discard(self, key: Hashable) -> None:
        """Keep it no more."""
        gone = self._kept.pop(key, None)
        if gone is not None:
            self.bytes -= len(gone.body) + ENTRY_BYTES

    def clear(self) -> int:
        """Keep nothing; return how many there were."""
        count = len(self._kept)
        self._kept.clear()
        self.bytes = 0
        return count


def expiry(seconds: float) -> float:
    """Return when something that is kept for ``seconds`` goes."""
    return monotonic_seconds() + seconds
