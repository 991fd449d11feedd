"""Remember what a token verified to, so that its next request skips the signature.

A hit costs one SHA-256, or nothing for whoever kept the entry. The token itself
is never a key. Entries leave with their token's ``exp``, and the least recently
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


class Entry(Generic[T]):
    """What one token verified to."""

    __slots__ = ("_cache", "_key", "_until", "_value")

    def __init__(self, cache: TokenCache[T], key: bytes, value: T, until: float) -> None:
        self._cache: TokenCache[T] | None = cache
        self._key = key
        self._value = value
        self._until = until

    @property
    def value(self) -> T:
        return self._value

    def use(self) -> T | None:
        """Count a hit and return the value; None once the cache has forgotten it or its time is over."""
        cache = self._cache
        if cache is None or clock.unix_seconds() > self._until:
            return None
        cache.hits += 1
        cache._values.move_to_end(self._key)  # noqa: SLF001 two halves of one thing
        return self._value

    def end(self) -> None:
        """Be used no more, whoever still holds this."""
        self._cache = None


class TokenCache(Generic[T]):
    """At most ``entries`` values by token. 0 entries switch it off."""

    def __init__(self, entries: int = DEFAULT_ENTRIES) -> None:
        self._entries = entries
        self._values: OrderedDict[bytes, Entry[T]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, token: str) -> T | None:
        """Return the value of ``token`` unless it is unknown or over."""
        key = _key(token)
        entry = self._values.get(key)
        if entry is not None:
            if (value := entry.use()) is not None:
                return value
            self._forget(key)
        self.misses += 1
        return None

    def entry(self, token: str) -> Entry[T] | None:
        """Return the entry of ``token``, which can be used without its token for as long as it is kept."""
        return self._values.get(_key(token))

    def put(self, token: str, value: T, *, until: float) -> None:
        """Keep ``value`` until the unix time ``until``, its last second included."""
        key = _key(token)
        if key in self._values:
            self._forget(key)
        self._values[key] = Entry(self, key, value, until)
        while len(self._values) > self._entries:
            self._forget(next(iter(self._values)))

    def drop(self, concerns: Callable[[T], bool]) -> None:
        """Forget every value that ``concerns`` is true for; about 0.1 ms a thousand entries."""
        gone = [key for key, entry in self._values.items() if concerns(entry.value)]
        for key in gone:
            self._forget(key)

    def clear(self) -> None:
        for key in list(self._values):
            self._forget(key)

    def _forget(self, key: bytes) -> None:
        self._values.pop(key).end()


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
