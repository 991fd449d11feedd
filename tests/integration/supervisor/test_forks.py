"""Children that are forks have what a new program has, and nothing else of the supervisor's."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.up import Run, alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from monohull.kernel.home import ProcessState

    Starter = Callable[..., Run]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are new programs elsewhere")


def status(pid: int, field: str) -> int:
    """Return a mask of ``/proc/PID/status``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")), 16)


def files(pid: int) -> set[str]:
    """Return what the descriptors of ``pid`` beside the three standard ones lead to."""
    folder = Path(f"/proc/{pid}/fd")
    return {str(entry.readlink()) for entry in folder.iterdir() if int(entry.name) > 2}


def processes(run: Run) -> tuple[ProcessState, ProcessState]:
    state = run.state()
    assert state.api is not None
    assert state.worker is not None
    return state.api, state.worker


def has_begun(folder: Path, pid: int) -> bool:
    """Say whether the child got as far as its first line, and one further."""
    lines = [line.split() for line in (folder / "events").read_text().splitlines()]
    names = {name for name, number in lines if number == str(pid)}
    return any(f"{name}-grandchild" in (line[0] for line in lines) for name in names)


def test_a_fork_begins_as_a_new_program_does(tiny: Starter, folder: Path) -> None:
    run = tiny().ready()
    for child in processes(run):
        root = Path(f"/proc/{child.pid}")
        run.until(partial(has_begun, folder, child.pid), "it has not begun")
        assert (root / "exe").readlink() == Path(f"/proc/{run.pid}/exe").readlink()
        assert (root / "cwd").readlink() == folder
        assert os.getsid(child.pid) == child.pid
        assert (root / "fd" / "0").readlink() == Path(os.devnull)
        assert {path for path in files(child.pid) if not path.startswith("socket:")} <= {os.devnull}
        assert not (files(child.pid) & files(run.pid)) - {os.devnull}, "of the supervisor's, locks too"
        assert status(child.pid, "SigBlk") == 0
        caught = status(child.pid, "SigCgt")
        assert not caught >> (signal.SIGHUP - 1) & 1, "the supervisor's handler"
        assert not caught >> (signal.SIGCHLD - 1) & 1, "the supervisor's handler"


def test_forks_end_with_their_supervisor_and_leave_its_locks(tiny: Starter) -> None:
    first = tiny().ready()
    children = processes(first)
    first.signal(signal.SIGKILL)
    first.ended()
    second = tiny().ready()
    assert not any(child.is_alive for child in children)
    assert all(child.is_alive for child in processes(second))


def test_a_supervisor_that_cannot_load_starts_programs(tiny: Starter, folder: Path) -> None:
    run = tiny(TINY_UNLOADABLE="1").ready()
    api, worker = processes(run)
    for child, name in ((api, "serve"), (worker, "worker")):
        words = Path(f"/proc/{child.pid}/cmdline").read_bytes().decode().split("\0")
        assert Path(words[1]).name == "tiny.py"
        assert words[2] == name
    os.kill(worker.pid, signal.SIGKILL)
    run.until(lambda: processes(run)[1].pid != worker.pid, "the worker does not come back")
    assert not alive(worker.pid)
    assert folder.exists()
