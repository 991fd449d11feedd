"""`monohull serve` as a process of its own, for tests that need a real port."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from tests.integration.cli.test_commands import environment
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monohull.kernel.home import Connections

START_SECONDS = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(connections: Connections, folder: Path, **settings: str) -> Iterator[str]:
    """Serve on a free port and yield the URL once it is ready."""
    port = free_port()
    given = {"database_url": connections.owner_url, "redis_url": connections.redis_url, **settings}
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "monohull", "serve", "--port", str(port)],
            cwd=folder,
            env=environment(**given),
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_ready(process, url, folder / "serve.log")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the server answers that it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health/ready", timeout=30).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())
