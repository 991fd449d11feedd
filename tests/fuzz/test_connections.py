"""Slow and hostile clients over real sockets: memory stays bounded, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import asyncpg
import httpx
import psutil
import pytest

from tests.application import anon_key, service_key
from tests.integration.cli.serving import free_port
from tests.integration.rolling.processes import COMMANDS, Process
from tests.integration.rolling.traffic import read_answer
from tests.load.hostile_clients import CLIENTS, Target, attacking
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from monohull.kernel.home import Connections

NOTES: Final = """
    create table notes (id bigint primary key, text text not null);
    insert into notes select n, repeat('x', 1000) from generate_series(1, 10000) n;
    comment on table notes is '@public';
    grant select, insert on notes to anon;
"""
ATTACK_SECONDS: Final = 8.0
ENOUGH: Final = 5
GROWTH_BYTES: Final = 100 * 1024 * 1024
ATTACKS: Final = {
    "connections": ("idle", "slow_head"),
    "bodies": ("slow_body", "slow_chunks", "large_body"),
    "answers": ("deaf", "pipelining", "large_head"),
}
NONSENSE: Final = {
    "two lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n[1]",
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "negative length": b"Content-Length: -1\r\n\r\n",
    "length of words": b"Content-Length: many\r\n\r\n",
    "other coding": b"Transfer-Encoding: gzip, chunked, what\r\n\r\n",
    "bad chunk": b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "space before the colon": b"X-Bad : 1\r\n\r\n",
    "folded line": b"X-Bad: 1\r\n 2\r\n\r\n",
    "NUL": b"X-Bad: a\0b\r\n\r\n",
    "many fields": b"".join(b"X-%d: 1\r\n" % n for n in range(5000)) + b"\r\n",
    "64 KiB field": b"X-Long: " + b"a" * 65536 + b"\r\n\r\n",
}


@pytest.fixture(params=["granian", "own"])
async def api(
    request: pytest.FixtureRequest, connections: Connections, tmp_path: Path
) -> AsyncIterator[Process]:
    """A process for each of the servers there are."""
    database = await asyncpg.connect(connections.owner_url)
    await database.execute(NOTES)
    await database.close()
    port = free_port()
    settings = {"rest_max_rows": "100000", "log_level": "error", "http_server": request.param}
    with Process(connections, tmp_path, "api", *COMMANDS["serve"], port=port, settings=settings) as process:
        await asyncio.to_thread(process.wait_ready)
        yield process
        assert await asyncio.to_thread(process.stop) == 0, process.log.read_text()
        assert "Traceback" not in process.log.read_text()


def memory_bytes(pid: int) -> int:
    root = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (root, *root.children(recursive=True)))


async def served(target: Target) -> None:
    """Be an ordinary client with a connection of its own."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(target.host, target.port)
        try:
            writer.write(target.head("GET", "?id=eq.7&select=id"))
            assert (await read_answer(reader))[::2] == (200, b'[{"id":7}]')
        finally:
            writer.transport.abort()


@pytest.mark.parametrize("attack", ATTACKS)
async def test_others_are_served_and_memory_stays(api: Process, attack: str) -> None:
    assert api.port is not None
    target = Target("127.0.0.1", api.port, anon_key(), "notes")
    for _ in range(50):
        await served(target)
    before = most = memory_bytes(api.pid)
    answered = 0
    async with attacking(target, *ATTACKS[attack]):
        end = time.monotonic() + ATTACK_SECONDS
        while time.monotonic() < end or answered < ENOUGH:
            await served(target)
            answered += 1
            most = max(most, memory_bytes(api.pid))
            await asyncio.sleep(0.1)
    assert most - before < GROWTH_BYTES, f"{(most - before) / 2**20:.0f} MiB more"
    await nothing_goes_on(api)


async def nothing_goes_on(api: Process) -> None:
    """Wait until no request is left but the one that asks."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with httpx.AsyncClient(headers={"apikey": service_key()}, timeout=PATIENCE_SECONDS) as client:
        while True:
            answer = await client.get(f"http://127.0.0.1:{api.port}/platform/v1/status")
            if answer.json()["requests_in_flight"] == 1:
                return
            assert time.monotonic() < deadline, answer.text
            await asyncio.sleep(0.1)


async def test_a_websocket_is_refused_at_once(api: Process) -> None:
    assert api.port is not None
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    target = Target("127.0.0.1", api.port, anon_key(), "../../realtime/v1/websocket")
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(target.host, target.port)
        head = target.head("GET", "", *lines, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        writer.write(head.replace(b"/rest/v1/../..", b"", 1))
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
    assert int(answer.split(b" ", 2)[1]) in {403, 404}, answer
    await served(Target(target.host, target.port, target.apikey, "notes"))


async def test_nonsense_is_refused(api: Process) -> None:
    assert api.port is not None
    target = Target("127.0.0.1", api.port, anon_key(), "notes")
    found: dict[str, int | str] = {}
    for name, rest in NONSENSE.items():
        reader, writer = await asyncio.open_connection(target.host, target.port)
        head = target.head("POST", "", "Content-Type: application/json")[:-2]
        writer.write(head + rest)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read(65536)
        found[name] = int(answer.split(b" ", 2)[1]) if answer else "closed"
        assert answer.count(b"HTTP/1.1 ") <= 1, f"{name}: {answer!r}"  # no second request was seen in it
        writer.transport.abort()
        await served(target)
    refused = {name: what for name, what in found.items() if what == "closed" or 400 <= int(what) < 500}
    assert refused == found
    assert set(ATTACKS["connections"] + ATTACKS["bodies"] + ATTACKS["answers"]) == set(CLIENTS)
