"""A key is nowhere but with whoever made it: not in the database, not in Redis, not in the log."""

from __future__ import annotations

import asyncio
import logging
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING

import pytest
import structlog

from monohull.kernel.embedded.binaries import postgres_bin
from monohull.kernel.ids import hash_token
from monohull.kernel.logs import configure_logging
from monohull.kernel.redis_connection import close_redis, open_redis
from monohull.kernel.settings import CoreSettings
from tests.application import running_app
from tests.integration.api_keys.keyring import PATH, SERVICE, ask, changed, made, make
from tests.patience import PATIENCE_SECONDS, PATIENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

    from monohull.kernel.home import Connections

SHOWN = len("sb_secret_") + 6
"""What lists show of a key, and so is no secret."""


async def dump(url: str) -> str:
    """Return everything that is in the database."""
    program = str(postgres_bin() / "pg_dump")
    process = await asyncio.create_subprocess_exec(program, "--inserts", "--dbname", url, stdout=PIPE)
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return stdout.decode()


async def everything_in_redis(url: str) -> str:
    """Return the names of all keys and what is in them, of every kind."""
    redis = open_redis(url, timeouts=PATIENT)
    try:
        parts: list[object] = []
        async for name in redis.scan_iter("*"):
            parts += [name, await redis.dump(name), await _read(redis, name)]
    finally:
        await close_redis(redis)
    return repr(parts)


async def _read(redis: object, name: bytes) -> object:
    kind = (await redis.type(name)).decode()  # type: ignore[attr-defined]
    if kind == "none":  # it expired since its name was listed
        return None
    commands = {
        "string": ("GET", name),
        "hash": ("HGETALL", name),
        "list": ("LRANGE", name, 0, -1),
        "set": ("SMEMBERS", name),
        "zset": ("ZRANGE", name, 0, -1, "WITHSCORES"),
        "stream": ("XRANGE", name, "-", "+"),
    }
    return await redis.execute_command(*commands[kind])  # type: ignore[attr-defined]


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_restored_logging")
async def test_only_the_hash_is_anywhere(
    database: asyncpg.Connection,  # noqa: ARG001 filled first
    platform_database: str,
    connections: Connections,
    redis_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging(CoreSettings(env="test", log_format="json", log_level="debug"), process="api")
    texts: list[str] = []
    ids: list[str] = []
    async with running_app(connections, log_level="debug") as served:
        for wanted in (
            {},
            {"kind": "publishable"},
            {"permissions": ["data.products:read"], "quota": {"limit": 2, "period": "day"}},
            {"rate_per_minute": 2},
            {"allowed_addresses": ["203.0.113.0/24"]},
        ):
            created = await made(served, **wanted)
            rotated = await served.client.post(
                f"{PATH}/{created['id']}/rotate", json={"overlap_seconds": 60}, headers=SERVICE
            )
            texts += [created["key"], rotated.json()["key"]]
            await changed(served, created["id"], name="renamed")
            ids.append(created["id"])
        for text in texts:
            for _ in range(4):
                await ask(served, text)
                await served.client.get("/rest/v1/products", headers={"Authorization": f"Bearer {text}"})
            await ask(served, f"{text}x")
            await ask(served, text, f"/rest/v1/nothing?apikey=eq.{text[:-7]}")
            await make(served, {"apikey": text}, name="no")
        await served.client.delete(f"{PATH}/{ids[-1]}", headers=SERVICE)
        await ask(served, texts[-1])
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "mh:quota:" not in await everything_in_redis(redis_url):  # noqa: ASYNC110 other processes write it
                await asyncio.sleep(0.1)
    places = {
        "database": await dump(platform_database),
        "redis": await everything_in_redis(redis_url),
        "log": "".join(capfd.readouterr()),
    }
    assert "mh:quota:" in places["redis"]
    assert "INSERT INTO monohull.outbox" in places["database"]
    assert len(places["log"]) > 1000
    for text in texts:
        assert hash_token(text) in places["database"]
        for place, content in places.items():
            assert text not in content, place
            assert text[SHOWN : SHOWN + 20] not in content, place
            assert text[-20:] not in content, place
        for place in ("redis", "log"):
            assert hash_token(text) not in places[place], place
