"""Streams of Redis, with a consumer group. What an earlier worker left unacknowledged comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis.exceptions import ResponseError

from modules.ingest.messages import Message, fitted, text_of
from monohull.kernel.redis_connection import RedisTimeouts, close_redis, open_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from modules.ingest.brokers.opening import Asked
    from modules.ingest.origins import RedisStreamOrigin

CONSUMER: Final = "monohull"
"""The same in every worker: one at a time leads, and takes over what the last one had."""
OLD: Final = "0"
NEW: Final = ">"
MILLISECONDS: Final = 1000


async def connect(origin: RedisStreamOrigin, asked: Asked) -> RedisIntake:
    """Make the group where it is missing."""
    timeouts = RedisTimeouts(connect=min(asked.timeout_seconds, 5.0), read=asked.timeout_seconds, retries=0)
    group = origin.group or asked.group
    client = open_redis(origin.url, name="monohull-ingest", max_connections=2, timeouts=timeouts)
    try:
        await client.xgroup_create(
            origin.stream, group, id="0" if origin.start == "earliest" else "$", mkstream=True
        )
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            await close_redis(client)
            raise
    except BaseException:
        await close_redis(client)
        raise
    return RedisIntake(client, origin, asked, group)


class RedisIntake:
    """Reads entries of the group, and acknowledges them."""

    def __init__(self, client: Redis, origin: RedisStreamOrigin, asked: Asked, group: str) -> None:
        self._client = client
        self._origin = origin
        self._asked = asked
        self._group = group
        self._has_left_over = True

    async def fetch(self, limit: int, wait_seconds: float) -> list[Message]:
        while self._has_left_over:
            entries = await self._read(OLD, limit, None)
            self._has_left_over = bool(entries)
            if found := await self._messages(entries):
                return found
        return await self._messages(await self._read(NEW, limit, max(1, int(wait_seconds * MILLISECONDS))))

    async def _read(self, behind: str, limit: int, block: int | None) -> list[tuple[Any, Any]]:
        answer: Any = await self._client.xreadgroup(
            self._group, CONSUMER, {self._origin.stream: behind}, count=limit, block=block
        )
        streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer or ()]
        return [entry for entries in streams for entry in _flat(entries)]

    async def _messages(self, entries: list[tuple[Any, Any]]) -> list[Message]:
        """Return the messages of entries, and let go of those that were deleted while they were pending."""
        gone = [entry_id for entry_id, fields in entries if not fields]
        if gone:
            await self._client.xack(self._origin.stream, self._group, *gone)
        return [self._message(_text(entry_id), fields) for entry_id, fields in entries if fields]

    async def acknowledge(self, messages: list[Message]) -> None:
        await self._client.xack(self._origin.stream, self._group, *[one.handle for one in messages])

    async def lag(self) -> int | None:
        groups: Any = await self._client.xinfo_groups(self._origin.stream)
        for group in groups:
            if _text(group["name"]) == self._group and group.get("lag") is not None:
                return int(group["lag"]) + int(group["pending"])
        return None

    async def close(self) -> None:
        await close_redis(self._client)

    def _message(self, entry_id: str, fields: dict[Any, Any]) -> Message:
        texts = {_text(name): _bytes(value) for name, value in fields.items()}
        named = texts.get(self._asked.id_field) if self._asked.id_field is not None else None
        field = self._origin.body_field
        if field is None:
            plain = {name: value.decode("utf-8", "replace") for name, value in texts.items()}
            body, rest = msgspec.json.encode(plain), {}
        else:
            body = texts.get(field, b"")
            rest = {name: text_of(value) or "" for name, value in texts.items() if name != field}
        return Message(
            id=fitted(_text(named) if named else f"{self._origin.stream}/{entry_id}"),
            body=body,
            place=f"{self._origin.stream}/{entry_id}",
            headers=rest,
            handle=entry_id,
        )


def _flat(entries: Any) -> list[tuple[Any, Any]]:
    """Return the entries of a stream, which come in one more list where the protocol is the third."""
    if entries and isinstance(entries[0], list):
        return [entry for part in entries for entry in part]
    return list(entries)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _bytes(value: bytes | str) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
