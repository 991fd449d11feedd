"""SIGTERM: accepting ends, requests that were accepted are finished, connections are given back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest

from tests.application import anon_key
from tests.integration.backends import HELD, until_all_held
from tests.integration.cli.serving import free_port, wait_ready
from tests.integration.cli.test_commands import environment
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections

REQUESTS = 6
HEARS_SECONDS = 0.5
"""After the signal; one that is heard of later finds nothing that runs, and proves less."""
SERVES_SECONDS = 2.0
"""After a process said that it started; until it serves there is nothing to drain, and it ends at once."""


async def all_serve(process: subprocess.Popen[bytes], url: str, log: Path, workers: int) -> None:
    """Wait until each of the processes serves."""
    await asyncio.to_thread(wait_ready, process, url, log)
    await eventually(lambda: log.read_text().count("process.started") >= workers)
    await asyncio.sleep(SERVES_SECONDS)


@pytest.mark.parametrize("server", ["granian", "own"])
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_was_accepted_is_finished(
    connections: Connections, tmp_path: Path, workers: str, server: str
) -> None:
    database = await asyncpg.connect(connections.owner_url)
    await database.execute(
        f"create view slow as select 1 as id, pg_advisory_xact_lock_shared({HELD})::text as waited; "
        "comment on view slow is '@public'"
    )
    await database.execute("select pg_advisory_lock($1)", HELD)
    port = free_port()
    log = tmp_path / "serve.log"
    with log.open("w") as stream:
        process = subprocess.Popen(  # noqa: ASYNC220 waited for in a thread
            [sys.executable, "-m", "monohull", "serve", "--port", str(port), "--workers", workers],
            cwd=tmp_path,
            env=environment(
                database_url=connections.owner_url, redis_url=connections.redis_url, http_server=server
            ),
            stderr=stream,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await all_serve(process, url, log, int(workers))
        async with httpx.AsyncClient(
            base_url=url, headers={"apikey": anon_key()}, timeout=PATIENCE_SECONDS
        ) as client:
            running = [asyncio.create_task(client.get("/rest/v1/slow")) for _ in range(REQUESTS)]
            await until_all_held(database, REQUESTS)
            process.terminate()
            await asyncio.sleep(HEARS_SECONDS)
            await database.execute("select pg_advisory_unlock($1)", HELD)
            answers = await asyncio.gather(*running)
            assert [answer.status_code for answer in answers] == [200] * REQUESTS, log.read_text()
            assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0
            with pytest.raises(httpx.TransportError):
                await client.get("/health/live")
        connected = (
            "select count(*) from pg_stat_activity "
            "where datname = current_database() and application_name like 'monohull%'"
        )
        await eventually(lambda: database.fetchval(connected), lambda found: found == 0)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
        await database.close()
    assert log.read_text().count("process.stopped") == int(workers)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the listening socket closes with the server")
@pytest.mark.parametrize(
    ("command", "workers"),
    [
        (("monohull", "serve", "--workers", "1"), 1),
        (("monohull", "serve", "--workers", "2"), 2),
        (("litestar", "--app", "monohull.asgi:create_app", "run"), 1),
    ],
    ids=["1", "2", "litestar"],
)
async def test_the_lame_duck_serves_and_sends_everybody_elsewhere(
    connections: Connections, tmp_path: Path, command: tuple[str, ...], workers: int
) -> None:
    """Not ready, each answer closes its connection, and a connection that was idle gets its answer too.

    ``litestar run`` signals the whole process group, and the server its workers once more.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "serve.log"
    settings = {"database_url": connections.owner_url, "redis_url": connections.redis_url}
    with log.open("w") as stream:
        process = subprocess.Popen(  # noqa: ASYNC220 waited for in a thread
            [sys.executable, "-m", *command, "--port", str(port)],
            cwd=tmp_path,
            env=environment(**settings, lame_duck_seconds="15"),
            stdout=stream,
            stderr=stream,
        )
    try:
        await all_serve(process, url, log, workers)
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
            kept = await client.get("/health/live")
            assert "connection" not in kept.headers
            process.terminate()
            await eventually(lambda: log.read_text().count("process.leaving") >= workers)
            on_the_idle_one = await client.get("/health/live")
            assert (on_the_idle_one.status_code, on_the_idle_one.headers["connection"]) == (200, "close")
            answers = [
                await client.get(path) for path in ("/health/ready", "/health/startup", "/rest/v1/none")
            ]
            assert [answer.status_code for answer in answers[:2]] == [503, 503]
            assert answers[2].status_code in (401, 404)  # served as ever, and not refused as while it drains
            assert {answer.headers["connection"] for answer in answers} == {"close"}
        assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
