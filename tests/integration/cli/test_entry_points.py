"""The entry points that people's scripts and charts name: `litestar run` and `saq`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration.cli.test_commands import environment
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

BIN = Path(sys.executable).parent


@pytest.fixture
def external(connections: Connections) -> dict[str, str]:
    return {"database_url": connections.owner_url, "redis_url": connections.redis_url}


def stop(process: subprocess.Popen[str]) -> str:
    """Ask the whole group to end, as a terminal does, and return what it said."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        raise AssertionError(errors) from None
    return errors


def test_litestar_run(tmp_path: Path, external: dict[str, str], unused_tcp_port: int) -> None:
    command = [
        str(BIN / "litestar"),
        "--app",
        "monohull.asgi:create_app",
        "run",
        "--port",
        str(unused_tcp_port),
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(**external),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while True:
            assert process.poll() is None
            assert time.monotonic() < deadline
            try:
                if (
                    httpx.get(f"http://127.0.0.1:{unused_tcp_port}/health/ready", timeout=30).status_code
                    == 200
                ):
                    break
            except httpx.TransportError:
                time.sleep(0.1)
    finally:
        errors = stop(process)
    assert "Traceback" not in errors


async def test_saq(tmp_path: Path, external: dict[str, str]) -> None:
    log = tmp_path / "saq.log"
    with log.open("w") as stream:
        process = subprocess.Popen(  # noqa: ASYNC220 waited for in a thread
            [BIN / "saq", "monohull.worker.settings"],
            cwd=tmp_path,
            env=environment(**external, log_format="json"),
            stdout=subprocess.DEVNULL,
            stderr=stream,
            text=True,
            start_new_session=True,
        )
    try:
        await eventually(lambda: process.poll() is not None or "relay.leads" in log.read_text())
        assert process.poll() is None
    finally:
        await asyncio.to_thread(stop, process)
    errors = log.read_text()
    assert "relay.leads" in errors
    assert "Traceback" not in errors
    assert "did not finish within the shutdown grace period" not in errors
