"""What answers are shared through, each as a test sees it from beside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Protocol
from urllib.parse import urlsplit

from modules.rest.cache.shared import PREFIX
from monohull.kernel.redis_connection import close_redis, open_redis
from tests.patience import PATIENCE_SECONDS, PATIENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Beside(Protocol):
    """A store by its own protocol.

    Attributes:
        kind: As `Cache-Status` names it.
        settings: What has a process use it.
    """

    kind: ClassVar[str]
    settings: Mapping[str, str]

    async def keys(self) -> Sequence[str]:
        """List the names of answers."""
        ...

    async def get(self, key: str) -> bytes: ...

    async def set(self, key: str, value: bytes) -> None: ...

    async def seconds_left(self, key: str) -> float: ...

    async def close(self) -> None: ...


class RedisBeside:
    kind: ClassVar[str] = "redis"

    def __init__(self, url: str) -> None:
        self.settings: Mapping[str, str] = {"rest_cache_redis": "main"}
        self._redis = open_redis(url, timeouts=PATIENT)

    async def keys(self) -> Sequence[str]:
        return [key.decode() async for key in self._redis.scan_iter(match=f"{PREFIX}*")]

    async def get(self, key: str) -> bytes:
        kept = await self._redis.get(key)
        assert isinstance(kept, bytes)
        return kept

    async def set(self, key: str, value: bytes) -> None:
        await self._redis.set(key, value)

    async def seconds_left(self, key: str) -> float:
        return int(await self._redis.pttl(key)) / 1000

    async def close(self) -> None:
        await close_redis(self._redis)


class MemcachedBeside:
    kind: ClassVar[str] = "memcached"

    def __init__(self, url: str) -> None:
        self.settings: Mapping[str, str] = {"rest_cache_memcached": url}
        self._address = urlsplit(url)

    async def has(self, key: str) -> bool:
        return (await self._ask(b"mg %b\r\n" % key.encode(), b"\r\n")).startswith(b"HD")

    async def keys(self) -> Sequence[str]:
        """List what there is of few; of many, what moves between lists meanwhile is left out."""
        listed = await self._ask(b"lru_crawler metadump all\r\n", b"END\r\n")
        names = [line.split(" ")[0].removeprefix("key=") for line in listed.decode().split("\n")]
        names = [name.replace("%3A", ":") for name in names]
        return [name for name in names if name.startswith(PREFIX)]

    async def get(self, key: str) -> bytes:
        said = await self._ask(b"get %b\r\n" % key.encode(), b"END\r\n")
        first, _, rest = said.partition(b"\r\n")
        return rest[: int(first.rsplit(b" ", 1)[1])]

    async def set(self, key: str, value: bytes) -> None:
        await self._ask(b"set %b 0 0 %d\r\n%b\r\n" % (key.encode(), len(value), value), b"STORED\r\n")

    async def seconds_left(self, key: str) -> float:
        said = await self._ask(b"mg %b t\r\n" % key.encode(), b"\r\n")
        return float(said.removeprefix(b"HD t"))

    async def flush(self) -> None:
        await self._ask(b"flush_all\r\n", b"OK\r\n")

    async def close(self) -> None:
        pass

    async def _ask(self, command: bytes, end: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        writer.write(command)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.readuntil(end)
        writer.close()
        await writer.wait_closed()
        return answer
