"""Commands as a shell sees them: what they print, and their exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from monohull import __version__
from monohull.kernel.embedded.process import wait_gone
from tests.application import JWT_SECRET
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.home import Connections

START_SECONDS = 90


def environment(**settings: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")}
    given = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET}
    return plain | given | {f"MONOHULL_{name.upper()}": value for name, value in settings.items()}


def monohull(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monohull", *arguments],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture
def external(connections: Connections) -> dict[str, str]:
    """Settings that name the test's own servers."""
    return {"database_url": connections.owner_url, "redis_url": connections.redis_url}


def test_version(tmp_path: Path) -> None:
    assert monohull("version", cwd=tmp_path).stdout.strip() == __version__
    assert json.loads(monohull("version", "--json", cwd=tmp_path).stdout)["version"] == __version__
    assert monohull("--version", cwd=tmp_path).stdout.strip() == __version__


def test_help_lists_every_command(tmp_path: Path) -> None:
    result = monohull("--help", cwd=tmp_path)
    commands = (
        "up",
        "serve",
        "worker",
        "migrate",
        "init",
        "status",
        "keys",
        "auth",
        "doctor",
        "config",
        "version",
    )
    assert all(f"  {command} " in result.stdout for command in commands)


@pytest.mark.parametrize(
    "arguments", [("no-such-command",), ("up", "--no-such-option"), ("serve", "--port", "99999")]
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert monohull(*arguments, cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("command", [("serve",), ("worker",), ("doctor",), ("migrate",), ("config", "check")])
def test_a_bad_setting_stops_every_command_with_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = monohull(*command, cwd=tmp_path, pool_size="many")
    assert result.returncode == 2, result.stderr
    complaint = result.stderr + result.stdout
    assert (
        "MONOHULL_POOL_SIZE (environment): 'many' is not allowed: a whole number from 1 to 1000" in complaint
    )
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [("serve",), ("worker",), ("doctor",), ("migrate",), ("status",)])
def test_nothing_runs(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = monohull(*command, cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    assert "monohull up" in result.stderr
    assert "Traceback" not in result.stderr


def test_config_check(tmp_path: Path) -> None:
    assert monohull("config", "check", cwd=tmp_path).returncode == 0
    weak = monohull("config", "check", "--env", "production", "--json", cwd=tmp_path, jwt_secret="a" * 40)
    assert weak.returncode == 2
    report = json.loads(weak.stdout)
    assert report["ok"] is False
    assert [f["variable"] for f in report["findings"] if f["severity"] == "refused"] == [
        "MONOHULL_JWT_SECRET"
    ]
    assert "a" * 40 not in weak.stdout
    unknown = monohull("config", "check", cwd=tmp_path, modules="no.such.module")
    assert unknown.returncode == 2
    assert "no.such.module" in unknown.stderr


def test_production_refuses_to_start_with_a_weak_secret(tmp_path: Path, external: dict[str, str]) -> None:
    result = monohull("serve", cwd=tmp_path, **external, env="production", jwt_secret="a" * 40)
    assert result.returncode == 2
    assert "MONOHULL_JWT_SECRET" in result.stderr


def test_doctor(tmp_path: Path, external: dict[str, str]) -> None:
    # a server that a stalled machine keeps for a second is said to be away, and rightly so
    doctor = partial(monohull, "doctor", "--json", cwd=tmp_path, **external)
    result = asyncio.run(eventually(doctor, lambda found: found.returncode == 0))
    report: dict[str, Any] = json.loads(result.stdout)
    states = {finding["name"]: finding["state"] for finding in report["findings"]}
    assert result.returncode == 0, report
    assert states["database"] == states["migrations"] == states["redis"] == states["data login"] == "ok"
    assert states["schema changes"] == "ok"
    assert (states["jobs"], states["webhooks"]) == ("advice", "ok"), "no worker is alive"


def test_doctor_with_redis_away(tmp_path: Path, external: dict[str, str]) -> None:
    result = monohull("doctor", cwd=tmp_path, **(external | {"redis_url": "redis://127.0.0.1:1/0"}))
    assert result.returncode == 3
    assert "AWAY    redis" in result.stdout


@pytest.fixture
def serving(
    tmp_path: Path, external: dict[str, str], unused_tcp_port: int
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "monohull", "serve", "--port", str(unused_tcp_port), "--workers", "2"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(**external, log_format="json"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{unused_tcp_port}"
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        try:
            if httpx.get(f"{url}/health/ready", timeout=30).status_code == 200:
                break
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield process, url
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_serve_with_two_processes(serving: tuple[subprocess.Popen[str], str]) -> None:
    process, url = serving
    for number in range(20):
        answer = httpx.get(f"{url}/platform/v1/whoami", headers={"X-Request-Id": f"r{number}"}, timeout=30)
        assert answer.status_code == 200
    line = 'monohull_http_requests_total{method="GET",route="/platform/v1/whoami",status="200"} 20.0'
    # the numbers of both processes are added up, whichever is asked; the other's are a second old at most
    deadline = time.monotonic() + PATIENCE_SECONDS
    while line not in httpx.get(f"{url}/metrics", timeout=30).text:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    deadline = time.monotonic() + START_SECONDS
    pid = re.compile(r'monohull_process_open_files\{.*pid="(\d+)"')
    while len(set(pid.findall(httpx.get(f"{url}/metrics", timeout=30).text))) < 2:
        assert time.monotonic() < deadline, "both have to serve before they can be stopped in order"
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    lines = [json.loads(entry) for entry in errors.splitlines()]
    requests = [
        entry
        for entry in lines
        if entry["event"] == "http.request" and entry["route"] == "/platform/v1/whoami"
    ]
    assert sorted(entry["request_id"] for entry in requests) == sorted(f"r{number}" for number in range(20))
    assert [entry["event"] for entry in lines].count("process.stopped") == 2
    assert JWT_SECRET not in errors


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=30).is_success
    except httpx.TransportError:
        return False


def test_processes_do_not_outlive_their_server(serving: tuple[subprocess.Popen[str], str]) -> None:
    process, url = serving
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    deadline = time.monotonic() + START_SECONDS
    while answers(url):
        assert time.monotonic() < deadline
        time.sleep(0.1)


DEAF: Final = """
import os, signal, time
from monohull.kernel.embedded.process import end_when_orphaned
parent = os.getpid()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    busy_until = time.monotonic() + 1.5
    end_when_orphaned(parent, lambda: time.monotonic() < busy_until, drain_seconds=60)
    print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_an_orphan_that_hears_no_signal_ends_all_the_same() -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        orphan = int(process.stdout.readline())
        os.kill(orphan, signal.SIGTERM)
        began = time.monotonic()
        process.kill()
        assert process.stdout.read() == "", "the pipe closes when the last process that holds it is gone"
    assert time.monotonic() - began > 2, "while it was busy, and a little longer, it was left in peace"


@pytest.mark.parametrize("age_seconds", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_processes_that_start_do_not_outlive_their_server(
    tmp_path: Path, external: dict[str, str], unused_tcp_port: int, age_seconds: float
) -> None:
    command = [sys.executable, "-m", "monohull", "serve", "--port", str(unused_tcp_port), "--workers", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(**external), stderr=subprocess.DEVNULL)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + START_SECONDS
    while len(workers := serving_children(listed)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(age_seconds)
    process.kill()
    process.wait()
    assert wait_gone(workers, START_SECONDS) == []


def serving_children(listed: Path) -> list[int]:
    """Return the children that have named themselves workers; the one that checks the settings has not."""
    return [pid for pid in map(int, listed.read_text().split()) if b"worker" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (ProcessLookupError, FileNotFoundError):
        return b""


def test_a_taken_port(tmp_path: Path, external: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = monohull("serve", "--port", str(port), cwd=tmp_path, **external)
    assert result.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "--port" in result.stderr
