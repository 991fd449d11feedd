"""`Shared`: answers for all processes in Redis or Memcached, sealed.

What is kept there is found under a digest of all that it depends on, the version of its tables among it
(`line.Line.versions`). So nothing there has to be counted, compared or taken back: an answer that is
outdated is not found any more, and goes with its time. A server that forgets, or fails over to a replica
that lags, costs misses.

Rows lie there, so they are sealed by AES-256-GCM under a key of the instance's secret, bound to the name
that they are kept under: who reads or writes the server can neither read nor make up an answer.

Of several servers each keeps its part. Which one is meant for a name follows from the names of all of them
(rendezvous hashing), so that one more or less moves no other's part.
"""

from __future__ import annotations

import asyncio
import os
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from modules.rest.cache.keepers import KeeperAway, KeeperBusy
from monohull.kernel.clock import monotonic_seconds, now
from monohull.kernel.crypto import NONCE_BYTES, derive_key
from monohull.kernel.observation import SILENT, DependencyBack, DependencyLost, Observer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.rest.cache.keepers import Keeper

PREFIX: Final = "monohull:cache:"
REST_SECONDS: Final = 5.0
"""So long nobody asks a server that did not answer."""
MAX_WRITES: Final = 100
"""Answers on their way at once; others are not kept there."""
SEAL_BYTES: Final = 512
"""What a kept answer is larger than its document, generously."""


class Kept(Struct, frozen=True, array_like=True):
    """What a statement gave.

    Attributes:
        rows: How many.
        until: Unix seconds.
        document: As it goes out.
    """

    rows: int
    until: float
    document: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Kept).decode


class _Place:
    """A keeper, and whether it is asked."""

    __slots__ = ("away_until", "keeper", "lost_at")

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.away_until = float("-inf")
        self.lost_at: float | None = None


class Shared:
    """The second level.

    Args:
        keepers: Of one kind, at least one.
        secret: The instance's; the keys are derived from it.
        observer: Is told when a server is away and when it is back.

    Attributes:
        kind: Of the keepers: ``redis`` or ``memcached``.
        naming: A key for digests, so that a name says nothing.
        kept: How many answers the servers took.
        refused: How many were too large for them.
    """

    def __init__(self, keepers: Sequence[Keeper], secret: str, observer: Observer = SILENT) -> None:
        self._places = [_Place(keeper) for keeper in keepers]
        self._cipher = AESGCM(derive_key(secret, "rest.cache"))
        self._observer = observer
        self._writes: set[asyncio.Task[None]] = set()
        self.kind = keepers[0].kind
        self.naming = derive_key(secret, "rest.cache.names")
        self.kept = 0
        self.refused = 0

    async def close(self) -> None:
        """Give the connections back."""
        for task in list(self._writes):
            task.cancel()
        await asyncio.gather(*self._writes, return_exceptions=True)
        for place in self._places:
            await place.keeper.close()

    async def get(self, name: str) -> Kept | None:
        """Return what is kept; None where nothing is, or the server is away."""
        place = self._place(name)
        if monotonic_seconds() < place.away_until:
            return None
        key = f"{PREFIX}{name}"
        try:
            sealed = await place.keeper.get(key)
        except KeeperAway as away:
            self._note_away(place, away)
            return None
        except KeeperBusy:
            return None
        self._note_back(place)
        if sealed is None:
            return None
        try:
            kept = _decode(self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key.encode()))
        except (InvalidTag, ValueError, msgspec.DecodeError):  # not ours, or another secret's
            return None
        return kept if kept.until > now().timestamp() else None

    def put(self, name: str, kept: Kept) -> None:
        """Have an answer kept, without waiting, unless the server is away or much is on its way."""
        place = self._place(name)
        if monotonic_seconds() < place.away_until or len(self._writes) >= MAX_WRITES:
            return
        task = asyncio.create_task(self._put(place, name, kept), name="cache, second level")
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _put(self, place: _Place, name: str, kept: Kept) -> None:
        milliseconds = int((kept.until - now().timestamp()) * 1000)
        if milliseconds <= 0:
            return
        key, nonce = f"{PREFIX}{name}", os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, _encode(kept), key.encode())
        try:
            is_kept = await place.keeper.set(key, sealed, milliseconds)
        except KeeperAway as away:
            self._note_away(place, away)
            return
        except KeeperBusy:
            return
        if is_kept:
            self.kept += 1
        else:
            self.refused += 1

    def _place(self, name: str) -> _Place:
        """Return where an answer is kept."""
        places = self._places
        if len(places) == 1:
            return places[0]
        return max(places, key=lambda place: blake2b(f"{place.keeper.name} {name}".encode()).digest())

    def _note_away(self, place: _Place, away: KeeperAway) -> None:
        place.away_until = monotonic_seconds() + REST_SECONDS
        if place.lost_at is None:
            place.lost_at = monotonic_seconds()
            self._observer.observe(DependencyLost(name=f"{self.kind}.cache", reason=str(away)))

    def _note_back(self, place: _Place) -> None:
        if place.lost_at is not None:
            seconds = monotonic_seconds() - place.lost_at
            self._observer.observe(DependencyBack(name=f"{self.kind}.cache", seconds=seconds))
            place.lost_at = None


def kept_until(seconds: float) -> float:
    """Return the unix time in ``seconds``."""
    return now().timestamp() + seconds
