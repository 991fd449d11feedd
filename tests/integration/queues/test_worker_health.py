"""A worker says on a port of its own whether it lives, has started, and can work."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx

from tests.integration.queues.test_worker_command import COMMANDS, environment
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monohull.kernel.home import Connections


@contextmanager
def worker(connections: Connections, folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    settings = {"worker_health_port": str(port), "drain_seconds": "5"}
    environ = environment(connections, **settings)
    with subprocess.Popen(
        COMMANDS["monohull"], env=environ, cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(port: int, path: str) -> tuple[int, Any]:
    answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_SECONDS)
    return answer.status_code, answer.json() if answer.content else None


def posted(port: int, path: str) -> int:
    return httpx.post(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_SECONDS).status_code


def until(port: int, path: str, status: int) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            found, body = ask(port, path)
            if found == status:
                return body
        except httpx.TransportError:
            found = 0
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


async def test_from_start_to_stop(connections: Connections, tmp_path: Path, unused_tcp_port: int) -> None:
    port = unused_tcp_port
    database = await asyncpg.connect(connections.owner_url)
    with worker(connections, tmp_path, port) as process:
        until(port, "/health/startup", 200)
        body = until(port, "/health/ready", 200)
        assert body["status"] == "ok"
        assert set(body["checks"]) == {"database", "migrations", "redis"}
        assert all(check["ok"] for check in body["checks"].values())
        assert ask(port, "/health/live") == (200, {"status": "ok"})
        assert ask(port, "/metrics") == (404, None)
        assert posted(port, "/health/live") == 405

        version = await database.fetchval("select version_num from monohull.platform_version")
        await database.execute("update monohull.platform_version set version_num = '9999'")
        body = until(port, "/health/ready", 503)
        assert body["status"] == "unavailable"
        assert "newer version" in body["checks"]["migrations"]["message"]
        assert ask(port, "/health/live")[0] == 200
        await database.execute("update monohull.platform_version set version_num = $1", version)
        until(port, "/health/ready", 200)

        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    await database.close()


def test_a_port_that_is_taken_is_said(connections: Connections, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with worker(connections, tmp_path, port) as process:
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    assert f"MONOHULL_WORKER_HEALTH_PORT: cannot listen on 127.0.0.1:{port}" in said
    assert "Traceback" not in said
