"""What keeps answers for all processes: a Redis, or servers of Memcached.

A keeper gives back what it was given under a name, or nothing. It may forget at any time, and be away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

from redis.exceptions import RedisError

from monohull.kernel.redis_connection import (
    UNREACHABLE,
    RedisTimeouts,
    close_redis,
    explain_redis_error,
    open_redis,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUTS: Final = RedisTimeouts(connect=0.25, read=0.25, pool=0.25, retries=0)
"""A read of the database takes less: who waits longer than this for Redis has lost by it."""
MAX_CONNECTIONS: Final = 32


class KeeperAway(Exception):
    """A keeper did not answer; the text says why, in one sentence without secrets."""


class KeeperBusy(Exception):
    """So many ask at once that this one has waited too long. It says nothing about the server."""


class Keeper(Protocol):
    """One server, or what answers as one.

    Attributes:
        kind: ``redis`` or ``memcached``.
        name: Tells it from others of its kind.
    """

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    async def get(self, key: str) -> bytes | None:
        """Return what is kept, None where nothing is.

        Raises:
            KeeperAway: It does not answer.
            KeeperBusy: Too many ask at once.
        """
        ...

    async def set(self, key: str, value: bytes, milliseconds: int) -> bool:
        """Have a value kept for a time at most; say whether it takes one of this size.

        Raises:
            KeeperAway: It does not answer.
            KeeperBusy: Too many ask at once.
        """
        ...

    async def version(self) -> str:
        """Return the version that the server says it has.

        Raises:
            KeeperAway: It does not answer.
            KeeperBusy: Too many ask at once.
        """
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


class RedisKeeper:
    """A Redis, with all the servers that its URL names.

    Args:
        url: In one of the forms of `redis_url`.

    Raises:
        RedisUrlError: ``url`` cannot be read.
    """

    kind: Final = "redis"
    name: Final = "redis"

    def __init__(self, url: str) -> None:
        self._redis: Redis = open_redis(
            url, name="monohull-cache", max_connections=MAX_CONNECTIONS, timeouts=TIMEOUTS
        )

    async def close(self) -> None:
        """Give the connections back."""
        await close_redis(self._redis)

    async def get(self, key: str) -> bytes | None:
        """Return what is kept, None where nothing is.

        Raises:
            KeeperAway: Redis does not answer, or refuses.
        """
        try:
            return cast("bytes | None", await self._redis.get(key))
        except (*UNREACHABLE, RedisError, TimeoutError) as error:
            raise KeeperAway(explain_redis_error(error)) from error

    async def set(self, key: str, value: bytes, milliseconds: int) -> bool:
        """Have a value kept.

        Raises:
            KeeperAway: As for `get`.
        """
        try:
            await self._redis.set(key, value, px=milliseconds)
        except (*UNREACHABLE, RedisError, TimeoutError) as error:
            raise KeeperAway(explain_redis_error(error)) from error
        return True

    async def version(self) -> str:
        """Return the version that the server says it has.

        Raises:
            KeeperAway: As for `get`.
        """
        from monohull.kernel.redis_connection import server_infos  # noqa: PLC0415 doctor alone asks

        try:
            infos = await server_infos(self._redis, "server")
        except (*UNREACHABLE, RedisError, TimeoutError) as error:
            raise KeeperAway(explain_redis_error(error)) from error
        return str(infos[0].get("valkey_version") or infos[0]["redis_version"])
