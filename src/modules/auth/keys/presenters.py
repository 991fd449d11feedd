"""Who still presents tokens of keys that sign no more: noted in memory, written behind, read by the CLI.

One sorted set a key, member by when it was last seen. Lost with Redis, which
costs a report and nothing else.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from monohull.kernel import clock
from monohull.kernel.redis_connection import UNREACHABLE, redis_or_unavailable
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio import Redis

PREFIX: Final = "mh:auth:presented:"
SECRET: Final = "secret"
"""Stands for the shared secret among the kids."""

FLUSH_SECONDS: Final = 2.0
KEPT_SECONDS: Final = 8 * 86_400
MAX_NAMES: Final = 10_000
"""The longest report, and the most that waits here while Redis is away."""


class Presenters:
    """Notes and tells."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pending: dict[tuple[str, str], int] = {}

    def note(self, kid: str, name: str) -> None:
        """Remember that ``name`` presented a token of the key ``kid`` just now."""
        if len(self._pending) < MAX_NAMES:
            self._pending[kid, name] = clock.unix_seconds()

    async def flush(self) -> None:
        """Write what was noted; what cannot be written is kept."""
        if not self._pending:
            return
        noted, self._pending = self._pending, {}
        pipeline = self._redis.pipeline(transaction=False)
        for kid in {kid for kid, _ in noted}:
            key = PREFIX + kid
            _ = pipeline.zadd(key, {name: at for (of, name), at in noted.items() if of == kid})
            _ = pipeline.zremrangebyrank(key, 0, -MAX_NAMES - 1)
            _ = pipeline.expire(key, KEPT_SECONDS)
        try:
            await pipeline.execute()
        except (*UNREACHABLE, RedisError):
            self._pending = {**noted, **self._pending}

    async def of(self, kid: str) -> Sequence[tuple[str, int]]:
        """Return names and unix times, the latest first.

        Raises:
            RedisUnavailable: 503.
        """
        with redis_or_unavailable():
            found: Any = await self._redis.zrevrange(PREFIX + kid, 0, -1, withscores=True)
        return [(name.decode(), int(at)) for name, at in found]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write every `FLUSH_SECONDS`, and once more at the end."""
        try:
            async with beside(self._flush_for_ever(), name="key presenters"):
                yield
        finally:
            with suppress(*UNREACHABLE, RedisError):
                await self.flush()

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()
