"""The embedded Redis: nothing evicted, nothing lost, nobody in without the password."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from monohull.kernel.embedded import EmbeddedRedis
from monohull.kernel.embedded.process import identity
from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "a-password-of-redis"


@pytest.fixture
def redis(state: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(state, password=PASSWORD)
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "noeviction"),
        ("save", ""),
        ("bind", "127.0.0.1"),
    ],
)
async def test_settings(redis: EmbeddedRedis, setting: str, expected: str) -> None:
    async with Redis.from_url(redis.url, decode_responses=True) as client:
        assert (await client.config_get(setting))[setting] == expected


async def test_the_password_is_needed_and_shown_nowhere(redis: EmbeddedRedis) -> None:
    async with Redis(port=redis.port) as client:
        with pytest.raises(AuthenticationError):
            await client.get("key")
    configuration = (redis.data / "valkey.conf").stat()
    assert stat.S_IMODE(configuration.st_mode) == 0o600
    assert configuration.st_uid == (redis.account.uid if redis.account else os.geteuid())


def test_the_password_is_on_no_command_line(redis: EmbeddedRedis) -> None:
    assert redis.is_running()
    shown = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
    assert "valkey" in shown
    assert PASSWORD not in shown


async def test_the_socket_works_too(redis: EmbeddedRedis) -> None:
    async with Redis(
        unix_socket_path=str(redis.socket_directory / "redis.sock"), password=PASSWORD
    ) as client:
        assert await client.ping()


async def test_what_was_answered_survives_kill_9(redis: EmbeddedRedis) -> None:
    port = redis.port
    async with Redis.from_url(redis.url) as client:
        for number in range(200):
            await client.rpush("queue", number)
    os.kill(redis.pid, signal.SIGKILL)
    while redis.is_running():
        pass
    redis.start()
    assert redis.port == port
    async with Redis.from_url(redis.url) as client:
        assert await client.llen("queue") == 200


async def test_an_orphan_is_ended_before_its_files_are_touched(redis: EmbeddedRedis) -> None:
    async with Redis.from_url(redis.url) as client:
        await client.set("key", "value")
    orphan = redis.pid
    assert redis._lock is not None
    redis._lock.close()
    redis._lock = None
    second = EmbeddedRedis(redis.state, password=PASSWORD)
    second.start()
    try:
        assert identity(orphan) is None
        async with Redis.from_url(second.url) as client:
            assert await client.get("key") == b"value"
    finally:
        second.stop()


def test_end_leftovers_starts_nothing(redis: EmbeddedRedis) -> None:
    orphan = redis.pid
    assert redis._lock is not None
    redis._lock.close()
    redis._lock = None
    second = EmbeddedRedis(redis.state, password=PASSWORD)
    second.end_leftovers()
    assert identity(orphan) is None
    assert second.pid == 0


def test_data_of_a_newer_major_is_refused_and_of_an_older_one_taken(redis: EmbeddedRedis) -> None:
    redis.stop()
    (redis.data / "VERSION").write_text("99.0.0\n")
    with pytest.raises(WrongSetup, match=r"written by Valkey 99\.0\.0"):
        redis.start()
    (redis.data / "VERSION").write_text("7.2.0\n")
    redis.start()
    assert (redis.data / "VERSION").read_text().strip() == redis.version


def test_a_stop_that_takes_too_long_is_a_kill(redis: EmbeddedRedis) -> None:
    os.kill(redis.pid, signal.SIGSTOP)
    redis.stop(seconds=0.1)
    assert redis.exit_code == -signal.SIGKILL
