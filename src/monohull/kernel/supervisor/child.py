"""A child process of the supervisor, and when to start it again."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Final

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.embedded.process import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from monohull.kernel.supervisor.forks import Forks, Process

QUICK_SECONDS: Final = 10.0
"""A life shorter than this counts as a failure to start."""
MAX_QUICK_FAILURES: Final = 5
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 8.0
LONGEST_PAUSE_AFTER_KILL_SECONDS: Final = 1.0


class Restarts:
    """When something that died is started again, and when nobody should try any longer.

    A process that ends by itself soon after its start, five times in a row, will
    do so the sixth time. One that somebody killed is not to blame: it always
    comes back, after a pause that stays short.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._deaths = 0

    def pause_seconds(self, *, lived_seconds: float, killed: bool) -> float | None:
        """Note a death; return how long to wait before the next start, None to give up."""
        if lived_seconds >= QUICK_SECONDS:
            self._failures = self._deaths = 0
            return 0.0
        self._deaths += 1
        pause = FIRST_PAUSE_SECONDS * 2.0 ** (self._deaths - 2) if self._deaths > 1 else 0.0
        if killed:
            return min(pause, LONGEST_PAUSE_AFTER_KILL_SECONDS)
        self._failures += 1
        return None if self._failures >= MAX_QUICK_FAILURES else min(pause, LONGEST_PAUSE_SECONDS)


class Child:
    """One process with a session of its own: what it starts in turn ends with it.

    Args:
        name: What it is, for messages.
        command: Arguments to start it.
        program: What comes before them in a command line.
        forks: Starts it as a fork, once it has loaded the product; else it is a new program.
        environ: Its whole environment.
        directory: Its working directory.
        stop_seconds: How long an orderly stop may take.
    """

    def __init__(  # noqa: PLR0913 (named arguments of one call)
        self,
        name: str,
        command: Sequence[str],
        *,
        program: Sequence[str],
        forks: Forks | None = None,
        environ: Mapping[str, str],
        directory: Path,
        stop_seconds: float,
    ) -> None:
        self.name = name
        self.restarts = Restarts()
        self.started_at = 0.0
        self.due_at: float | None = None
        self._command = tuple(command)
        self._program = tuple(program)
        self._forks = forks
        self._environ = environ
        self._directory = directory
        self._stop_seconds = stop_seconds
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def lived_seconds(self) -> float:
        return monotonic_seconds() - self.started_at

    def start(self) -> None:
        self.due_at = None
        self.started_at = monotonic_seconds()
        environ, directory = self._environ, self._directory
        if self._forks is not None and self._forks.is_loaded:
            self._process = self._forks.start(self._command, environ=environ, directory=directory)
        else:
            command = (*self._program, *self._command)
            self._process = spawn(command, log=None, environ=environ, directory=directory)

    def died(self) -> int | None:
        """Return the exit code once after a death, else None; nothing of its session is left then.

        The rest of the session is killed before the dead leader is reaped: until
        then its number cannot belong to anybody else.
        """
        if self._process is None or not has_ended(self._process):
            return None
        self._kill_session()
        code = self._process.wait()
        self._process = None
        return code

    def request_stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def is_overdue(self, asked_at: float) -> bool:
        """Say whether a stop asked for at ``asked_at`` takes too long."""
        return monotonic_seconds() - asked_at > self._stop_seconds

    def kill(self) -> None:
        """Kill the whole session and reap its leader."""
        if self._process is not None:
            self._kill_session()
            self._process.wait()
            self._process = None

    def _kill_session(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def has_ended(process: Process) -> bool:
    """Say whether ``process`` is dead, without reaping it where the system can tell."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def reap_strangers(known: set[int]) -> None:
    """Reap the dead that nobody waits for. They come to us when we are the first process of a container."""
    if not hasattr(os, "waitid"):
        return
    with contextlib.suppress(ChildProcessError):
        while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if dead.si_pid in known:
                return
            os.waitpid(dead.si_pid, 0)


def describe_exit(code: int) -> str:
    """Say how a process ended: ``exit code 3``, ``signal SIGKILL``."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
