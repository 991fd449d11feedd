"""Remember what a token verified to, so that its next request skips the signature.

A hit costs one SHA-256. The token itself is never a key: a dump of the process
shows hashes. Entries leave with their token's ``exp``, and the least recently
used one leaves when the cache is full.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from monohull.kernel import clock

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

DEFAULT_ENTRIES: Final = 1000
"""PostgREST's ``jwt-cache-max-entries``."""


class TokenCache(Generic[T]):
    """At most ``entries`` values by token. 0 entries switch it off."""

    def __init__(self, entries: int = DEFAULT_ENTRIES) -> None:
        self._entries = entries
        self._values: OrderedDict[bytes, tuple[T, float]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, token: str) -> T | None:
        """Return the value of ``token`` unless it is unknown or over."""
        key = _key(token)
        found = self._values.get(key)
        if found is not None and clock.unix_seconds() <= found[1]:
            self._values.move_to_end(key)
            self.hits += 1
            return found[0]
        if found is not None:
            del self._values[key]
        self.misses += 1
        return None

    def put(self, token: str, value: T, *, until: float) -> None:
        """Keep ``value`` until the unix time ``until``, its last second included."""
        self._values[_key(token)] = (value, until)
        while len(self._values) > self._entries:
            self._values.popitem(last=False)

    def drop(self, concerns: Callable[[T], bool]) -> None:
        """Forget every value that ``concerns`` is true for; about 0.1 ms a thousand entries."""
        gone = [key for key, (value, _) in self._values.items() if concerns(value)]
        for key in gone:
            del self._values[key]

    def clear(self) -> None:
        self._values.clear()


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
