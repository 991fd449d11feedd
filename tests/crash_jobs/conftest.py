"""Worker processes to kill, a Redis of our own to empty and kill, and a database that sees it all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest

from monohull.kernel.crypto import derive_password
from monohull.kernel.embedded import EmbeddedRedis, new_password
from monohull.kernel.home import Connections, with_login
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET
from tests.crash_jobs.module import MARKS, module
from tests.integration.conftest import platform_database, template_database
from tests.patience import PATIENCE_SECONDS
from tests.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["platform_database", "template_database"]

ROOT = Path(__file__).parents[2]


class Fleet:
    """Worker processes: ``saq monohull.worker.settings`` with the module of these tests."""

    def __init__(self, connections: Connections, folder: Path) -> None:
        self._folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "MONOHULL_ENV": "test",
            "MONOHULL_JWT_SECRET": JWT_SECRET,
            "MONOHULL_DATABASE_URL": connections.owner_url,
            "MONOHULL_REDIS_URL": connections.redis_url,
            "MONOHULL_MODULES": "tests.crash_jobs",
            "MONOHULL_DRAIN_SECONDS": "5",
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        """Start a worker; it is ready a second or two later."""
        return self.run([sys.executable, "-m", "saq", "monohull.worker.settings"], **settings)

    def run(self, command: list[str], **settings: str) -> subprocess.Popen[bytes]:
        """Start a process."""
        environ = self.environ | {f"MONOHULL_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=environ, cwd=self._folder, stdout=log, stderr=log)
        self.running.append(process)
        return process

    @property
    def log(self) -> Path:
        return self._folder / "workers.log"

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """``kill -9``, also of what it started, and reap."""
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.wait()
        self.running.remove(process)

    def end(self) -> None:
        """Kill what is left, and print what the workers said: pytest shows it when the test failed."""
        for process in list(self.running):
            self.kill(process)
        if self.log.exists():
            sys.stdout.write(self.log.read_text(encoding="utf-8"))

    def stop(self) -> list[int]:
        """SIGTERM to all; return their exit codes."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=PATIENCE_SECONDS) for process in self.running]
        self.running.clear()
        return codes


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own, which forgets everything when it dies."""
    server = EmbeddedRedis(tmp_path / "redis", password=new_password(), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connections(platform_database: str, redis: EmbeddedRedis) -> Connections:
    data_url = with_login(platform_database, "authenticator", derive_password(JWT_SECRET, "authenticator"))
    return Connections(Secret(platform_database), Secret(data_url), Secret(redis.url))


@pytest.fixture
async def bench(connections: Connections) -> AsyncIterator[Workbench]:
    connection = await asyncpg.connect(connections.owner_url)
    await connection.execute(MARKS)
    await connection.close()
    bench = Workbench(module, connections)
    async with bench.runtime.running():
        yield bench


@pytest.fixture
def fleet(connections: Connections, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(connections, tmp_path)
    yield fleet
    fleet.end()
