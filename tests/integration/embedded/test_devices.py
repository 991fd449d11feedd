"""Homes that cannot be written: full, read-only, closed. One line, the right code, nothing half made."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.embedded import EmbeddedPostgres, EmbeddedRedis, binaries
from monohull.kernel.home import Home
from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Mount = Callable[[str], Path]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount a file system of its own with the given options, where the servers' account gets."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)

    def mounted(options: str) -> Path:
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small file system")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
        )
        if done.returncode != 0:
            pytest.skip("this machine does not let root mount a file system")
        return folder

    yield mounted
    subprocess.run(["umount", folder], check=False, capture_output=True)
    folder.rmdir()


def refusal(work: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as refused:
        work()
    assert "\n" not in str(refused.value)
    return refused.value


def test_a_full_device_leaves_no_half_database(mount: Mount) -> None:
    home = Home(mount("size=20m,mode=0755") / "home")
    home.create()
    server = EmbeddedPostgres(home.path, password=home.secret("postgres_password"))
    error = refusal(server.start)
    assert error.exit_code == 3
    assert "No space left on device" in str(error)
    assert list(home.path.glob("postgres*")) == []


async def test_a_device_that_fills_up_later_is_recovered_from(mount: Mount) -> None:
    home = Home(mount("size=120m,mode=0755") / "home")
    home.create()
    server = EmbeddedPostgres(home.path, password=home.secret("postgres_password"))
    server.start()
    server.stop()
    ballast = home.path / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as stream:
        while True:
            stream.write(bytes(1_000_000))
    error = refusal(server.start)
    assert error.exit_code == 3
    assert "No space left on device" in str(error)
    ballast.unlink()
    server.start()
    server.stop()


def test_a_read_only_home_is_named(mount: Mount) -> None:
    device = mount("ro")
    error = refusal(lambda: Home(device / "home").lock())
    assert error.exit_code == 2
    assert "Read-only file system" in str(error)
    assert "MONOHULL_HOME" in str(error)


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    for server in (EmbeddedPostgres, EmbeddedRedis):
        assert refusal(server(tmp_path / "home", password="p").start).exit_code == 2


def test_a_missing_wheel_names_the_other_way(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    for server, variable in ((EmbeddedPostgres, "DATABASE"), (EmbeddedRedis, "REDIS")):
        error = refusal(server(state, password="p").start)
        assert error.exit_code == 2
        assert f"MONOHULL_{variable}_URL" in str(error)
        assert "monohull[embedded]" in str(error)


def test_a_wheel_for_another_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    assert "valkey-server" in str(refusal(binaries.redis_binary))


def test_a_program_that_does_not_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("#!/bin/false\n")
    (tmp_path / "postgres").chmod(0o755)
    assert "does not run" in str(refusal(lambda: binaries.version_of(tmp_path / "postgres")))
    (tmp_path / "postgres").write_text("#!/bin/echo\n")
    assert "answered" in str(refusal(lambda: binaries.version_of(tmp_path / "postgres")))
