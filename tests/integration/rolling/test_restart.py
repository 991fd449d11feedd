"""A rolling restart behind nginx and Caddy fails no request, and loses and doubles no row."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.application import anon_key
from tests.integration.cli.serving import free_port
from tests.integration.rolling.processes import COMMANDS, Process, Proxy
from tests.integration.rolling.traffic import Traffic

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections

NOTES = """
    create table notes (id bigint primary key, text text not null);
    insert into notes values (0, 'the first');
    comment on table notes is '@public';
    grant select, insert, update on notes to anon;
"""
SETTINGS = {"lame_duck_seconds": "4", "log_level": "warning"}

SETTLE_SECONDS = {"nginx": 0.0, "caddy": 2.0}
"""After a process is ready; Caddy asks for its health once a second."""


def installed(name: str) -> None:
    if shutil.which(name) is None and shutil.which(name, path="/usr/sbin") is None:
        pytest.skip(f"{name} is not installed (on Debian: apt-get install {name})")


async def roll(
    connections: Connections, folder: Path, proxy_name: str, *, seconds: float, command: str = "serve"
) -> None:
    """Restart two processes in turn, while 200 requests a second go through the proxy."""
    database = await asyncpg.connect(connections.owner_url)
    try:
        await database.execute(NOTES)
        ports = free_port(), free_port()
        with ExitStack() as stack:
            processes = [
                stack.enter_context(
                    Process(connections, folder, f"api-{port}", *COMMANDS[command], port=port, **SETTINGS)
                )
                for port in ports
            ]
            for process in processes:
                await asyncio.to_thread(process.wait_ready)
            proxy = stack.enter_context(Proxy(proxy_name, ports, folder))
            end = time.monotonic() + seconds
            restarts = 0

            async def restart() -> None:
                nonlocal restarts
                await asyncio.sleep(1)
                while restarts < 2 or time.monotonic() < end:
                    await asyncio.to_thread(processes[restarts % 2].restart)
                    restarts += 1
                    await asyncio.sleep(SETTLE_SECONDS[proxy_name])

            restarting = asyncio.create_task(restart())
            traffic = Traffic(proxy.url, {"apikey": anon_key(), "content-type": "application/json"})
            tally = await traffic.run(200, restarting.done)
            await restarting
        rows = {row["id"] for row in await database.fetch("select id from notes where id > 0")}
        spent = sorted(tally.seconds)
        print(
            f"{proxy_name}: {tally.sent} requests, {restarts} restarts, {len(tally.failures)} failed, p50 {1000 * spent[len(spent) // 2]:.1f} p95 {1000 * spent[len(spent) * 95 // 100]:.1f} max {1000 * spent[-1]:.0f} ms"
        )
        for f in tally.failures[:20]:
            print(f)
        assert tally.failures == [], proxy.log.read_text()[-4000:]
        assert rows == set(tally.written)
    finally:
        await database.close()


@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
async def test_a_restart_of_both_fails_nothing(connections: Connections, tmp_path: Path, proxy: str) -> None:
    installed(proxy)
    await roll(connections, tmp_path, proxy, seconds=5)
