"""The embedded PostgreSQL: what it is set to, and that it comes back from everything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from monohull.kernel.embedded import EmbeddedPostgres, account, discard
from monohull.kernel.embedded.ports import free_port
from monohull.kernel.embedded.postgres import SHARED_MEMORY_IN_USE
from monohull.kernel.embedded.process import identity, programs_in, wait_gone
from monohull.kernel.embedded.server import StartInterrupted
from monohull.kernel.refusals import NotReachable, WrongSetup

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "p@ss/word"


@pytest.fixture
def postgres(state: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(state, password=PASSWORD)
    yield server
    server.kill()


async def value(server: EmbeddedPostgres, sql: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("wal_level", "logical"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("shared_buffers", "128MB"),
        ("max_wal_senders", "10"),
        ("password_encryption", "scram-sha-256"),
        ("listen_addresses", "127.0.0.1"),
        ("fsync", "on"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("data_checksums", "on"),
    ],
)
async def test_settings(running: EmbeddedPostgres, setting: str, expected: str) -> None:
    assert await value(running, f"show {setting}") == expected


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    state = tmp_path_factory.mktemp("postgres")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account, "DURABLE_ROOT", Path(tempfile.gettempdir()))
        server = EmbeddedPostgres(state, password=PASSWORD)
        server.start()
        yield server
        server.stop()
        discard(state)


async def test_it_is_ours_alone(running: EmbeddedPostgres) -> None:
    assert await value(running, "select current_user || '@' || current_database()") == "monohull@monohull"
    assert await value(running, "select datlocale from pg_database where datname = 'monohull'") == "C.UTF-8"
    rules = await value(
        running, "select array_agg(distinct auth_method order by auth_method) from pg_hba_file_rules"
    )
    assert rules == ["scram-sha-256"]
    wrong = running.url.replace("p%40ss%2Fword", "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_the_socket_asks_for_the_password_too(running: EmbeddedPostgres) -> None:
    options = {"host": str(running.socket_directory), "port": running.port, "user": "monohull"}
    connection = await asyncpg.connect(**options, password=PASSWORD, database="monohull")
    assert await connection.fetchval("select 1") == 1
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(**options, password="wrong", database="monohull")


def test_the_password_is_on_no_command_line(running: EmbeddedPostgres) -> None:
    shown = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(running.port) in shown
    assert PASSWORD not in shown


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its privileges")
def test_root_runs_it_as_nobody_with_no_group_of_root(running: EmbeddedPostgres) -> None:
    text = Path(f"/proc/{running.pid}/status").read_text(encoding="ascii")
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(running.account.uid)}  # type: ignore[union-attr]
    assert status["Groups"].strip() in ("", str(running.account.gid))  # type: ignore[union-attr]


def test_a_second_start_of_the_same_folder_is_refused(running: EmbeddedPostgres) -> None:
    with pytest.raises(WrongSetup, match="in the hands of another process"):
        EmbeddedPostgres(running.state, password=PASSWORD).start()
    assert running.is_running()


async def test_port_and_rows_survive_a_restart(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    port = postgres.port
    await value(postgres, "create table t as select 42 as n")
    postgres.stop()
    assert not postgres.is_running()
    again = EmbeddedPostgres(postgres.state, password=PASSWORD)
    again.start()
    try:
        assert again.port == port
        assert again.version == postgres.version
        assert await value(again, "select n from t") == 42
        again.start()  # already runs: nothing happens
    finally:
        again.stop()


async def test_a_taken_port_is_given_up_for_another(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    port = postgres.port
    postgres.stop()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        again = EmbeddedPostgres(postgres.state, password=PASSWORD)
        again.start()
        try:
            assert again.port != port
            assert await value(again, "select 1") == 1
        finally:
            again.stop()


def test_a_port_one_insists_on_is_named_when_taken(state: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        server = EmbeddedPostgres(state, password=PASSWORD, port=port, durable=False)
        with pytest.raises(WrongSetup, match=f"port {port} of the embedded postgres is in use") as refused:
            server.start()
    assert refused.value.exit_code == 2
    assert server.pid == 0


async def test_rows_survive_kill_9_and_a_lock_that_names_a_stranger(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    await value(postgres, "create table t as select generate_series(1, 1000) as n")
    os.kill(postgres.pid, signal.SIGKILL)
    while postgres.is_running():
        pass
    assert postgres.exit_code == -signal.SIGKILL
    wait_gone(list(programs_in(postgres.data.resolve(), "postgres")), 10)
    lock = postgres.data / "postmaster.pid"
    stranger = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220 (returns at once)
    try:
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        postgres.start()
    finally:
        stranger.kill()
        stranger.wait()
    assert await value(postgres, "select count(*) from t") == 1000


async def test_a_backend_that_does_not_notice_the_death_of_its_server_is_ended(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.start()
    connection = await asyncpg.connect(postgres.url)
    backend = await connection.fetchval("select pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)  # as busy as can be
    os.kill(postgres.pid, signal.SIGKILL)
    while postgres.is_running():
        pass
    os.kill(backend, signal.SIGSTOP)
    postgres.start()
    assert identity(backend) is None
    assert await value(postgres, "select 1") == 1
    connection.terminate()


async def test_a_server_that_outlived_its_supervisor_is_ended(state: Path) -> None:
    first = EmbeddedPostgres(state, password=PASSWORD, durable=True)
    first.start()
    await value(first, "create table t as select 1 as n")
    orphan = first.pid
    assert first._lock is not None
    first._lock.close()  # as if the process had gone
    first._lock = None
    second = EmbeddedPostgres(state, password=PASSWORD)
    second.start()
    try:
        assert first._process is not None
        assert first._process.wait(10) == 0  # an orderly end
        assert identity(orphan) is None
        assert second.port == first.port
        assert await value(second, "select n from t") == 1
    finally:
        second.stop()


@pytest.mark.parametrize("major", [14, 17, 19])
def test_data_of_another_major_is_refused_with_the_way_out(postgres: EmbeddedPostgres, major: int) -> None:
    postgres.start()
    postgres.stop()
    (postgres.data / "PG_VERSION").write_text(f"{major}\n")
    with pytest.raises(WrongSetup, match=rf"written by PostgreSQL {major} .* carries 18.*pg_dump"):
        postgres.start()
    (postgres.data / "PG_VERSION").write_text("18\n")
    postgres.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_data_of_another_user_is_refused(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    os.chown(postgres.data, 12345, 12345)
    with pytest.raises(WrongSetup, match="belongs to user id 12345"):
        postgres.start()


def test_an_initialisation_that_broke_off_is_forgotten(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    half = postgres.folder / "postgres.new-half"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    (postgres.folder / "postgres.new-password").write_text("x")
    postgres.start()
    assert list(postgres.folder.glob("postgres.new-*")) == []


def test_initdb_that_fails_says_why_and_leaves_nothing(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmbeddedPostgres, "_locale", lambda _: ["--locale=xx_XX.nonsense"])
    with pytest.raises(NotReachable, match=r"initdb failed in .*locale"):
        postgres.start()
    assert list(postgres.folder.glob("postgres*")) == []


def test_a_server_that_ends_at_once_is_quoted(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    with (postgres.data / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(NotReachable, match="no_such_setting") as refused:
        postgres.start()
    assert str(postgres.log) in str(refused.value)


def test_a_start_can_be_interrupted(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(StartInterrupted):
        postgres.start(cancelled=lambda: True)
    assert postgres.pid == 0


def test_an_address_before_the_first_start_is_a_refusal(postgres: EmbeddedPostgres) -> None:
    assert (postgres.version, postgres.pid, postgres.last_words()) == ("", 0, "")
    assert postgres.bin_dir.name == "bin"
    with pytest.raises(NotReachable, match="has not been started"):
        _ = postgres.url


def test_memory_that_is_still_held_is_waited_for(postgres: EmbeddedPostgres) -> None:
    assert postgres._retry_seconds(f"FATAL:  {SHARED_MEMORY_IN_USE} (key 1, ID 2) is still in use") == 0.2
    assert postgres._retry_seconds("FATAL: something else") is None
    assert postgres._retry_seconds("Address already in use") == 0.0


def test_a_large_log_is_set_aside(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monohull.kernel.embedded.server.LOG_LIMIT_BYTES", 10)
    postgres.log.parent.mkdir()
    postgres.log.write_text("x" * 100)
    postgres.start()
    assert postgres.log.with_suffix(".log.1").read_text() == "x" * 100


async def test_a_fast_server_starts_empty_each_time(state: Path) -> None:
    for _ in range(2):
        server = EmbeddedPostgres(state, password=PASSWORD, durable=False, port=free_port())
        server.start()
        try:
            assert await value(server, "show fsync") == "off"
            await value(server, "create table t (n int)")
        finally:
            server.stop()
