"""Clients for one server, a socket, sentinels and a cluster, each against the real thing."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.broker import Broker, Message
from monohull.kernel.embedded.binaries import redis_binary
from monohull.kernel.embedded.ports import free_port
from monohull.kernel.ratelimit import Limit, RateLimits
from monohull.kernel.redis_connection import RedisTimeouts, close_redis, open_redis, ping
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis.asyncio import Redis

    from monohull.kernel.embedded import EmbeddedRedis


def spawn(folder: Path, *lines: str, sentinel: bool = False) -> subprocess.Popen[bytes]:
    configuration = folder / "valkey.conf"
    configuration.write_text("\n".join([f'dir "{folder}"', 'save ""', *lines]) + "\n")
    command = [str(redis_binary()), str(configuration), *(["--sentinel"] if sentinel else [])]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


async def wait_for(client: Redis) -> None:
    await eventually(lambda: ping(client), lambda found: found is None)


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


async def test_one_server(running_redis: EmbeddedRedis) -> None:
    client = open_redis(running_redis.url.removesuffix("/0") + "/3", name="named")
    assert await ping(client) is None
    info = await client.client_info()
    assert (info["name"], int(info["db"])) == ("named", 3)
    running_redis.stop()
    assert await ping(client) is not None
    running_redis.start()
    assert await ping(client) is None, "a connection that broke is made again"
    await close_redis(client)


async def test_a_wrong_password_is_named(running_redis: EmbeddedRedis) -> None:
    client = open_redis(f"redis://:wrong@127.0.0.1:{running_redis.port}")
    assert await ping(client) == "Redis refused the user or password in MONOHULL_REDIS_URL"
    await close_redis(client)


async def test_a_silent_host_costs_one_time_out() -> None:
    async def never_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)

    open_writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = open_redis(f"redis://127.0.0.1:{port}", timeouts=RedisTimeouts(read=0.2))
    assert await ping(client) == "Redis did not answer in time"
    assert len(open_writers) == 1, "a time-out is not repeated"
    await close_redis(client)
    for writer in open_writers:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_more_commands_than_connections_wait(running_redis: EmbeddedRedis) -> None:
    client = open_redis(running_redis.url, max_connections=2)
    await asyncio.gather(*(client.set(f"k{number}", number) for number in range(50)))
    assert len(await client.keys("k*")) == 50
    await close_redis(client)


async def test_a_unix_socket(tmp_path: Path, ended: list[subprocess.Popen[bytes]]) -> None:
    socket = tmp_path / "r.sock"
    ended.append(spawn(tmp_path, "port 0", f'unixsocket "{socket}"'))
    client = open_redis(f"unix://{socket}?db=1")
    await wait_for(client)
    assert int((await client.client_info())["db"]) == 1
    await close_redis(client)


@pytest.fixture
async def cluster(tmp_path: Path, ended: list[subprocess.Popen[bytes]]) -> str:
    """A cluster of one node, which has every slot: the protocol is that of many."""
    port = free_port()
    lines = (f"port {port}", "bind 127.0.0.1", "cluster-enabled yes", f"cluster-port {free_port()}")
    ended.append(spawn(tmp_path, *lines, "cluster-announce-ip 127.0.0.1"))
    node = open_redis(f"redis://127.0.0.1:{port}")
    await wait_for(node)
    untyped: Any = node
    await untyped.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b"cluster_state:ok" not in await untyped.execute_command("CLUSTER", "INFO"):  # noqa: ASYNC110 the same
            await asyncio.sleep(0.05)
    await close_redis(node)
    return f"redis+cluster://127.0.0.1:{port}"


async def test_a_cluster_has_commands_limits_and_broker(cluster: str) -> None:
    client = open_redis(cluster, name="clustered")
    assert await ping(client) is None
    assert (await RateLimits(client).take(Limit("x", 3, 0.01), "a")).remaining == 2
    async with Broker(client).running() as broker, broker.subscribe("a") as subscription:
        await broker.publish("a", b"x")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await anext(subscription) == Message("a", b"x")
    await close_redis(client)


async def test_sentinels_name_the_master(
    tmp_path: Path, running_redis: EmbeddedRedis, ended: list[subprocess.Popen[bytes]]
) -> None:
    port = free_port()
    ended.append(
        spawn(
            tmp_path,
            f"port {port}",
            "bind 127.0.0.1",
            f"sentinel monitor primary 127.0.0.1 {running_redis.port} 1",
            "sentinel auth-pass primary own",
            sentinel=True,
        )
    )
    client = open_redis(f"redis+sentinel://:own@127.0.0.1:{port}/primary/2", name="watched")
    await wait_for(client)
    info = await client.client_info()
    assert (info["name"], int(info["db"])) == ("watched", 2)
    await close_redis(client)
    lost = open_redis(f"redis+sentinel://:own@127.0.0.1:{port}/nobody")
    assert await ping(lost) == "no sentinel answers, or none knows a master of that name"
    await close_redis(lost)
