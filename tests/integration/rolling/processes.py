"""API processes on ports of their own, and a proxy before them with the configuration that is shipped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import httpx
import pytest

from tests.integration.cli.serving import free_port, wait_ready
from tests.integration.cli.test_commands import environment
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monohull.kernel.home import Connections

ROOT: Final = Path(__file__).parents[3]
PROXIES: Final = ROOT / "deploy" / "proxy"
NAMES: Final = ("nginx", "caddy")
"""Of the proxies."""
STOP_SECONDS: Final = 120
COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "serve": ["-m", "monohull", "serve", "--port", "{port}"],
    "litestar": ["-m", "litestar", "--app", "monohull.asgi:create_app", "run", "--port", "{port}"],
}


class Process:
    """One command of Monohull that can be started and stopped again, on the same port.

    Args:
        connections: Of the test's servers.
        folder: Working directory.
        name: Of its log.
        command: After the interpreter.
        settings: As ``rest_max_rows="10"``.
        port: Its place behind the proxy; None for a command that has none.
    """

    def __init__(
        self,
        connections: Connections,
        folder: Path,
        name: str,
        *command: str,
        port: int | None = None,
        settings: Mapping[str, str],
    ) -> None:
        self.port = port
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._command = [sys.executable, *(part.format(port=port) for part in command)]
        given = {"database_url": connections.owner_url, "redis_url": connections.redis_url, **settings}
        self._environ = environment(**given)
        self._environ["PYTHONPATH"] = str(ROOT)
        self._process: subprocess.Popen[bytes] | None = None

    def use(self, version: Path) -> None:
        """Be another version of the product from the next start on, which lies in a folder."""
        self._environ["PYTHONPATH"] = os.pathsep.join((str(version / "src"), str(ROOT)))

    def start(self) -> None:
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environ, stderr=log, stdout=log
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def run(self) -> int:
        """Start it, wait for its end, and return its exit code."""
        self.start()
        assert self._process is not None
        return self._process.wait(STOP_SECONDS)

    def wait_ready(self) -> None:
        assert self._process is not None
        wait_ready(self._process, f"http://127.0.0.1:{self.port}", self.log)

    def stop(self) -> int:
        """Tell it to stop and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def restart(self) -> None:
        assert self.stop() == 0, self.log.read_text()
        self.start()
        if self.port is not None:
            self.wait_ready()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def is_installed(name: str) -> None:
    if shutil.which(name) is None and shutil.which(name, path="/usr/sbin") is None:
        pytest.skip(f"{name} is not installed (on Debian: apt-get install {name})")


class Proxy:
    """nginx or Caddy before two ports; what is shipped, with other addresses.

    Args:
        name: ``nginx`` or ``caddy``.
        ports: Of the two processes.
        folder: For its files.
    """

    def __init__(self, name: str, ports: tuple[int, int], folder: Path) -> None:
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        assert program is not None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._folder = folder
        shipped = (PROXIES / {"nginx": "nginx.conf", "caddy": "Caddyfile"}[name]).read_text("utf-8")
        placed = shipped.replace("8080", f"127.0.0.1:{self.port}" if name == "nginx" else str(self.port))
        for shipped_port, port in zip(("8001", "8002"), ports, strict=True):
            assert placed.count(f"127.0.0.1:{shipped_port}") == 1
            placed = placed.replace(f"127.0.0.1:{shipped_port}", f"127.0.0.1:{port}")
        if name == "nginx":
            (folder / "monohull.conf").write_text(placed, "utf-8")
            (folder / "main.conf").write_text(nginx_main(folder), "utf-8")
            self._command = [program, "-p", str(folder), "-c", str(folder / "main.conf")]
        else:
            (folder / "Caddyfile").write_text(placed.replace("{\n", "{\n\tadmin off\n", 1), "utf-8")
            self._command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environ = {**os.environ, "XDG_DATA_HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder)}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(self._command, env=environ, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert self._process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.url}/health/live", timeout=30).status_code == httpx.codes.OK:
                    return self
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)


def nginx_main(folder: Path) -> str:
    """Return what Debian's ``nginx.conf`` is for the shipped file, in a folder of the test."""
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr info;
events {{ worker_connections 4096; }}
http {{
access_log off;
{paths}
include {folder}/monohull.conf;
}}
"""
