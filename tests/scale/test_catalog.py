"""The catalog of a large database is read quickly, in little memory, and without anybody waiting for it."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import httpx
import pytest

from monohull.kernel.clock import monotonic_seconds
from tests.application import service_key
from tests.integration.cli.serving import serve
from tests.scale.large import COLUMNS, FOREIGN_KEYS, TABLES, build

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.slow

MOST_SECONDS: Final = 2.0
MOST_MIB: Final = 60.0
RATE: Final = 200
"""Requests a second."""
CALM_SECONDS: Final = 6.0
RELOADS: Final = 5

READ_IN_A_PROCESS_OF_ITS_OWN: Final = """
import asyncio, json, resource, sys, time, asyncpg
from modules.query.introspect import introspect

async def main():
    connection = await asyncpg.connect(sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    catalog = await introspect(connection)
    seconds = time.perf_counter() - started
    ours = [r for r in catalog.relations.values() if r.name.startswith("big_")]
    ways = sum(len(found) for key, found in catalog.relationships.items() if key[1].startswith("big_"))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([seconds, peak, len(ours), sum(len(r.columns) for r in ours), ways]))

asyncio.run(main())
"""


@pytest.fixture
async def large(connections: Connections) -> Connections:
    database = await asyncpg.connect(connections.owner_url)
    try:
        await build(database)
    finally:
        await database.close()
    return connections


async def test_two_thousand_tables_are_read_quickly(large: Connections) -> None:
    command = [sys.executable, "-c", READ_IN_A_PROCESS_OF_ITS_OWN, large.owner_url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    seconds, mebibytes, relations, columns, ways = json.loads(done.stdout)
    assert (relations, columns, ways) == (TABLES, TABLES * COLUMNS, 2 * FOREIGN_KEYS)
    assert seconds < MOST_SECONDS
    assert mebibytes < MOST_MIB


async def test_a_reload_under_load_fails_and_delays_nobody(large: Connections, tmp_path: Path) -> None:
    with serve(large, tmp_path, log_level="error") as url:
        client = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {service_key()}"}, timeout=30
        )
        async with client:
            await load(client, 2.0)
            calm = await load(client, CALM_SECONDS)
            during = await asyncio.gather(load(client, RELOADS * 1.0 + 1), reload(large.owner_url))
    p99 = statistics.quantiles(calm, n=100)[98]
    assert max(during[0]) <= 3 * p99


async def load(client: httpx.AsyncClient, seconds: float) -> list[float]:
    """Send `RATE` requests a second whatever becomes of them, and return how long each took."""
    took: list[float] = []

    async def ask(number: int) -> None:
        began = monotonic_seconds()
        response = await client.get(f"/rest/v1/big_{number % 20}?select=id&limit=1")
        took.append(monotonic_seconds() - began)
        assert response.status_code == 200, response.text

    started = monotonic_seconds()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, started + number / RATE - monotonic_seconds()))
            group.create_task(ask(number))
    return took


async def reload(url: str) -> Any:
    """Have the catalog read anew once a second."""
    connection = await asyncpg.connect(url)
    try:
        for _ in range(RELOADS):
            await connection.execute("notify pgrst, 'reload schema'")
            await asyncio.sleep(1.0)
    finally:
        await connection.close()
