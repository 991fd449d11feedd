"""Redis Streams and Redis Pub/Sub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.streams.targets import RedisPubSubTarget, RedisStreamTarget
from monohull.kernel.redis_connection import RedisTimeouts, close_redis, open_redis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from modules.streams.cloudevents import Message


async def connect(
    target: RedisStreamTarget | RedisPubSubTarget, timeout_seconds: float
) -> RedisStreamTransport | RedisPubSubTransport:
    """Connect to Redis; ``XADD`` or ``PUBLISH``, those of a batch in one transaction."""
    timeouts = RedisTimeouts(connect=min(timeout_seconds, 5.0), read=timeout_seconds, retries=0)
    client = open_redis(target.url, name="monohull-streams", max_connections=2, timeouts=timeouts)
    try:
        await client.ping()
    except BaseException:
        await close_redis(client)
        raise
    if isinstance(target, RedisStreamTarget):
        return RedisStreamTransport(client, target.max_length)
    return RedisPubSubTransport(client)


class RedisStreamTransport:
    """Adds entries: the fields ``id``, ``content-type``, ``data`` and the headers."""

    is_whole = True

    def __init__(self, client: Redis, max_length: int | None) -> None:
        self._client = client
        self._max_length = max_length

    async def send(self, messages: Sequence[Message]) -> None:
        async with self._client.pipeline(transaction=True) as pipeline:
            for message in messages:
                fields: dict[Any, Any] = {
                    "id": message.id,
                    "content-type": message.content_type,
                    **message.prefixed("ce_"),
                    "data": message.body,
                }
                await pipeline.xadd(message.destination, fields, maxlen=self._max_length, approximate=True)
            await pipeline.execute()

    async def close(self) -> None:
        await close_redis(self._client)


class RedisPubSubTransport:
    """Publishes CloudEvents to whoever listens."""

    is_whole = True

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def send(self, messages: Sequence[Message]) -> None:
        async with self._client.pipeline(transaction=True) as pipeline:
            for message in messages:
                await pipeline.publish(message.destination, message.body)
            await pipeline.execute()

    async def close(self) -> None:
        await close_redis(self._client)
