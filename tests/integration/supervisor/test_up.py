"""``up`` with tiny children: order, restarts, refusals, signals, exit codes."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.home import jwt_secret
from monohull.kernel.keys import legacy_key
from monohull.kernel.settings import load_core
from tests.up import Run, alive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Starter = Callable[..., Run]


def events(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "events").read_text().splitlines()]


def pids(folder: Path, name: str) -> list[int]:
    lines = (folder / "events").read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.split()[0] == name]


def until_both_work(run: Run, folder: Path) -> None:
    """Wait for both children: one may be alive, and not yet at its first line."""
    working = {"serve-grandchild", "worker-grandchild"}
    run.until(lambda: working <= set(events(folder)), "not both work")


def test_everything_starts_in_order_and_stops_in_order(tiny: Starter, folder: Path) -> None:
    run = tiny().ready()
    state = run.state()
    assert state.url == f"http://127.0.0.1:{state.url.rpartition(':')[2] if state.url else ''}"
    assert state.postgres is not None
    assert state.redis is not None
    assert state.api is not None
    assert state.worker is not None
    assert all(
        process.is_alive for process in (state.api, state.worker, state.postgres.process, state.redis.process)
    )
    marker = run.home.marker()
    assert marker is not None
    assert set(marker.versions) == {"postgres", "redis", "monohull"}
    settings = load_core(environ={"MONOHULL_HOME": str(run.home.path)}, project=folder)
    assert legacy_key(jwt_secret(settings), "anon") in run.output
    until_both_work(run, folder)
    run.signal(signal.SIGINT)
    assert run.ended() == 130
    order = [event for event in events(folder) if "grandchild" not in event]
    assert order[0] == "migrate"
    assert order[-2:] == ["serve-stopped", "worker-stopped"]
    assert run.servers() == []
    assert run.home.read_state() is None
    assert not any(map(alive, pids(folder, "serve-grandchild") + pids(folder, "worker-grandchild")))


def test_sigterm_after_the_start_is_an_orderly_end(tiny: Starter) -> None:
    run = tiny().ready()
    run.signal(signal.SIGTERM)
    assert run.ended() == 0


def test_a_start_without_news_calls_no_migrator(tiny: Starter, folder: Path) -> None:
    def migrators() -> int:
        return events(folder).count("migrate")

    def start(**environ: str) -> Run:
        run = tiny(**environ).ready()
        run.signal(signal.SIGTERM)
        assert run.ended() == 0
        return run

    start()
    start()
    assert migrators() == 1
    (folder / "migrations").mkdir()
    (folder / "migrations" / "0001_one.sql").write_text("select 1;")
    start()
    start()
    assert migrators() == 2
    start(MONOHULL_LOG_LEVEL="error")
    assert migrators() == 3, "the migrator checks the configuration too"
    (folder / "events.outdated").touch()  # the database's files were put back from elsewhere
    assert "not what it was" in start(MONOHULL_LOG_LEVEL="error").output
    assert migrators() == 4


def test_a_second_up_says_who_runs(tiny: Starter) -> None:
    first = tiny().ready()
    second = tiny()
    output = first.output
    assert second.start().ended() == 1
    assert f"process {first.pid}" in second.output
    assert str(first.state().url) in second.output
    assert "since 20" in second.output
    assert alive(first.pid)
    assert output
    third = tiny()
    assert third.start("--fresh").ended() == 1
    assert alive(first.pid)


def test_a_killed_child_comes_back_and_its_session_is_gone(tiny: Starter, folder: Path) -> None:
    run = tiny().ready()
    until_both_work(run, folder)
    url = run.state().url

    def comes_back(name: str, starts: int) -> Callable[[], bool]:
        return lambda: len(pids(folder, name)) > starts

    for name in ("serve", "worker"):
        before = pids(folder, name)
        os.kill(before[-1], signal.SIGKILL)
        run.until(comes_back(name, len(before)), f"{name} does not come back")
        assert not alive(pids(folder, f"{name}-grandchild")[0])
    run.until(lambda: (api := run.state().api) and api.pid == pids(folder, "serve")[-1], "state is stale")
    assert run.state().url == url
    assert "serve ended (signal SIGKILL); starting it again" in run.output


@pytest.mark.parametrize("server", ["postgres", "redis"])
def test_a_killed_server_comes_back_on_its_port(tiny: Starter, server: str) -> None:
    run = tiny().ready()
    before = getattr(run.state(), server)
    os.kill(before.process.pid, signal.SIGKILL)
    run.until(lambda: getattr(run.state(), server).process != before.process, f"{server} does not come back")
    after = getattr(run.state(), server)
    assert after.port == before.port
    assert after.process.is_alive
    assert f"{server} runs again" in run.output


def test_a_server_that_keeps_failing_ends_it_with_its_last_words(tiny: Starter) -> None:
    run = tiny().ready()
    state = run.state()
    assert state.postgres is not None
    root = run.home.path
    with (root / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    os.kill(state.postgres.process.pid, signal.SIGKILL)
    assert run.ended() == 3
    assert "postgres keeps ending" in run.output
    assert "no_such_setting" in run.output
    assert run.servers() == []


def test_a_worker_that_keeps_failing_ends_it(tiny: Starter) -> None:
    run = tiny(TINY_WORKER_EXIT="7", TINY_SERVE_SLEEP="30").start()
    assert run.ended() == 3
    assert "worker keeps ending (exit code 7)" in run.output
    assert run.servers() == []


@pytest.mark.parametrize(("code", "expected"), [("2", 2), ("3", 3), ("1", 1)])
def test_a_failed_migration_ends_it_with_the_same_code(tiny: Starter, code: str, expected: int) -> None:
    run = tiny(TINY_MIGRATE_EXIT=code)
    assert run.start().ended() == expected
    assert "migrate says why" in run.output
    assert run.servers() == []


def test_an_api_that_refuses_its_configuration_ends_it(tiny: Starter) -> None:
    run = tiny(TINY_SERVE_EXIT="2")
    assert run.start().ended() == 2
    assert "serve refused to start" in run.output


def test_a_port_in_use_is_said_before_anything_starts(tiny: Starter) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        run = tiny()
        assert run.start("--port", str(port)).ended() == 2
    assert f"127.0.0.1:{port} is in use" in run.output
    assert not (run.home.path / "postgres").exists()


def test_configured_addresses_start_no_server(tiny: Starter) -> None:
    run = tiny(
        MONOHULL_DATABASE_URL="postgresql://me@127.0.0.1:1/db", MONOHULL_REDIS_URL="redis://127.0.0.1:1/0"
    ).ready()
    state = run.state()
    assert (state.postgres, state.redis) == (None, None)
    assert not (run.home.path / "postgres").exists()
    assert not (run.home.path / "redis").exists()


def test_services_alone(tiny: Starter, folder: Path) -> None:
    run = tiny().ready("--services-only")
    assert len(run.servers()) > 1
    assert events(folder) == ["migrate"]
    assert run.state().url is None
    run.signal(signal.SIGINT)
    assert run.ended() == 130


def test_fresh_empties_the_home(tiny: Starter) -> None:
    run = tiny().ready("--services-only")
    secret = run.home.secret("postgres_password")
    run.signal(signal.SIGINT)
    run.ended()
    (run.home.path / "storage").mkdir()
    again = tiny().ready("--services-only", "--fresh")
    assert again.home.secret("postgres_password") != secret
    assert not (again.home.path / "storage").exists()


def test_a_lost_password_is_named_and_fresh_starts_over(tiny: Starter) -> None:
    run = tiny().ready("--services-only")
    run.signal(signal.SIGINT)
    run.ended()
    (run.home.path / "secrets" / "postgres_password").unlink()
    assert run.start("--services-only").ended() == 2
    assert "bring the file secrets/postgres_password back" in run.output
    assert tiny().ready("--services-only", "--fresh").servers()


def test_fresh_deletes_nothing_of_somebody_else(tiny: Starter) -> None:
    run = tiny()
    run.home.path.mkdir()
    (run.home.path / "thesis.tex").touch()
    assert run.start("--fresh").ended() == 2
    assert (run.home.path / "thesis.tex").exists()
    (run.home.path / "thesis.tex").unlink()


def test_ctrl_c_while_starting(tiny: Starter, folder: Path) -> None:
    run = tiny(TINY_MIGRATE_SLEEP="30").start()
    run.until((folder / "events").exists, "migrate does not start")
    run.signal(signal.SIGINT)
    assert run.ended() == 130
    assert run.servers() == []


def test_ctrl_c_while_the_api_is_not_ready(tiny: Starter, folder: Path) -> None:
    (folder / "events.unready").touch()
    run = tiny().start()
    run.until(lambda: (folder / "events").exists() and "worker" in events(folder), "no worker")
    time.sleep(0.3)
    run.signal(signal.SIGTERM)
    assert run.ended() == 130


def test_the_second_ctrl_c_does_not_wait(tiny: Starter, folder: Path) -> None:
    run = tiny(TINY_DEAF="1", MONOHULL_DRAIN_SECONDS="240").ready()
    until_both_work(run, folder)
    run.signal(signal.SIGINT)
    run.until(lambda: {"serve-deaf", "worker-deaf"} & set(events(folder)), "nobody is told to stop")
    assert alive(run.pid)
    started = time.monotonic()
    run.signal(signal.SIGINT)
    assert run.ended() == 130
    assert time.monotonic() - started < 60, "a quarter of what it would wait"
    assert run.servers() == []
    assert not any(map(alive, pids(folder, "serve") + pids(folder, "worker")))


def test_nohup_is_heeded(tiny: Starter) -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = tiny().ready("--services-only")
    finally:
        signal.signal(signal.SIGHUP, previous)
    run.signal(signal.SIGHUP)
    time.sleep(0.5)
    assert alive(run.pid)


def test_a_killed_supervisor_leaves_nothing_that_stops_the_next(tiny: Starter, folder: Path) -> None:
    run = tiny(TINY_DEAF="1").ready()
    port = str(run.state().url).rpartition(":")[2]
    run.signal(signal.SIGKILL)
    run.ended()
    again = tiny().ready("--port", port)
    assert str(again.state().url).endswith(f":{port}")
    assert len(pids(folder, "serve")) == 2
    assert not alive(pids(folder, "serve")[0])
    assert not alive(pids(folder, "serve-grandchild")[0])
