"""``monohull worker`` and ``saq monohull.worker.settings``: exit codes, one line each, and a quiet stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.application import JWT_SECRET
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections

COMMANDS = {
    "monohull": [sys.executable, "-m", "monohull", "worker"],
    "saq": [sys.executable, "-m", "saq", "monohull.worker.settings"],
}


def environment(connections: Connections, **settings: str) -> dict[str, str]:
    environ = {
        "PATH": os.environ["PATH"],
        "MONOHULL_ENV": "test",
        "MONOHULL_LOG_LEVEL": "error",
        "MONOHULL_JWT_SECRET": JWT_SECRET,
        "MONOHULL_DATABASE_URL": connections.owner_url,
        "MONOHULL_REDIS_URL": connections.redis_url,
    }
    return environ | {f"MONOHULL_{name.upper()}": value for name, value in settings.items()}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"database_url": "postgresql://a:b@127.0.0.1:1/c"}, "the database at 127.0.0.1:1 is not available"),
        ({"redis_url": "redis://127.0.0.1:1"}, "Redis is not reachable"),
    ],
    ids=["database", "redis"],
)
def test_leaves_with_3_when_something_is_away(
    connections: Connections, tmp_path: Path, command: str, settings: dict[str, str], says: str
) -> None:
    result = subprocess.run(
        COMMANDS[command],
        env=environment(connections, **settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert result.returncode == 3, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith(says)


def test_leaves_with_2_for_a_wrong_setting(connections: Connections, tmp_path: Path) -> None:
    result = subprocess.run(
        [*COMMANDS["monohull"], "--queue", "default"],
        env=environment(connections, worker_concurrency="many"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("MONOHULL_WORKER_CONCURRENCY (environment): 'many' is not allowed")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stops_quietly(connections: Connections, tmp_path: Path, signum: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMANDS["monohull"], "--concurrency", "2"],
        env=environment(connections, log_level="info", log_format="json", drain_seconds="240"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if '"relay.leads"' in line:
                break
        asked_at = time.monotonic()
        process.send_signal(signum)
        lines += process.stderr
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
    assert time.monotonic() - asked_at < PATIENCE_SECONDS, "it does not wait for what is not there to finish"
    assert all('"level":"info"' in line for line in lines), lines
    assert '"process.stopped"' in lines[-1]
