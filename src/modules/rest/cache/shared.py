"""`Shared`: answers in Redis, for all processes, sealed.

What is kept there is found under a digest of all that it depends on, the version of its tables among it
(`line.Line.versions`). So nothing in Redis has to be counted, compared or taken back: an answer that is
outdated is not found any more, and goes with its time. A Redis that forgets, or fails over to a replica
that lags, costs misses.

Rows lie in Redis, so they are sealed by AES-256-GCM under a key of the instance's secret, bound to the name
that they are kept under: who reads or writes Redis can neither read nor make up an answer.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, cast

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from redis.exceptions import RedisError

from monohull.kernel.clock import monotonic_seconds, now
from monohull.kernel.crypto import NONCE_BYTES, derive_key
from monohull.kernel.observation import SILENT, DependencyBack, DependencyLost, Observer
from monohull.kernel.redis_connection import (
    UNREACHABLE,
    RedisTimeouts,
    close_redis,
    explain_redis_error,
    open_redis,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX: Final = "monohull:cache:"
DEPENDENCY: Final = "redis.cache"
TIMEOUTS: Final = RedisTimeouts(connect=0.25, read=0.25, pool=0.25, retries=0)
"""A read of the database takes less: who waits longer than this for Redis has lost by it."""
REST_SECONDS: Final = 5.0
"""So long nobody asks a Redis that did not answer."""
MAX_WRITES: Final = 100
"""Answers on their way to Redis at once; others are not kept there."""


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


class Shared:
    """The second level.

    Args:
        url: Of Redis.
        secret: The instance's; the keys are derived from it.
        observer: Is told when Redis is away and when it is back.

    Attributes:
        naming: A key for digests, so that a name says nothing.
    """

    def __init__(self, url: str, secret: str, observer: Observer = SILENT) -> None:
        self._redis: Redis = open_redis(url, name="monohull-cache", max_connections=32, timeouts=TIMEOUTS)
        self._cipher = AESGCM(derive_key(secret, "rest.cache"))
        self._observer = observer
        self._away_until = float("-inf")
        self._lost_at: float | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self.naming = derive_key(secret, "rest.cache.names")

    async def close(self) -> None:
        """Give the connections back."""
        for task in list(self._writes):
            task.cancel()
        await asyncio.gather(*self._writes, return_exceptions=True)
        await close_redis(self._redis)

    async def get(self, name: str) -> Kept | None:
        """Return what is kept; None where nothing is, or Redis is away."""
        if monotonic_seconds() < self._away_until:
            return None
        key = f"{PREFIX}{name}"
        try:
            sealed = cast("bytes | None", await self._redis.get(key))
        except (*UNREACHABLE, RedisError, TimeoutError) as error:
            self._note_away(error)
            return None
        self._note_back()
        if sealed is None:
            return None
        try:
            kept = _decode(self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key.encode()))
        except (InvalidTag, ValueError, msgspec.DecodeError):  # not ours, or another secret's
            return None
        return kept if kept.until > now().timestamp() else None

    def put(self, name: str, kept: Kept) -> bool:
        """Have an answer kept, without waiting; say whether that is tried."""
        if monotonic_seconds() < self._away_until or len(self._writes) >= MAX_WRITES:
            return False
        task = asyncio.create_task(self._put(name, kept), name="cache, second level")
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return True

    async def _put(self, name: str, kept: Kept) -> None:
        milliseconds = int((kept.until - now().timestamp()) * 1000)
        if milliseconds <= 0:
            return
        key, nonce = f"{PREFIX}{name}", os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, _encode(kept), key.encode())
        try:
            await self._redis.set(key, sealed, px=milliseconds)
        except (*UNREACHABLE, RedisError, TimeoutError) as error:
            self._note_away(error)

    def _note_away(self, error: BaseException) -> None:
        self._away_until = monotonic_seconds() + REST_SECONDS
        if self._lost_at is None:
            self._lost_at = monotonic_seconds()
            self._observer.observe(DependencyLost(name=DEPENDENCY, reason=explain_redis_error(error)))

    def _note_back(self) -> None:
        if self._lost_at is not None:
            seconds = monotonic_seconds() - self._lost_at
            self._observer.observe(DependencyBack(name=DEPENDENCY, seconds=seconds))
            self._lost_at = None


def kept_until(seconds: float) -> float:
    """Return the unix time in ``seconds``."""
    return now().timestamp() + seconds
