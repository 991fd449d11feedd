"""Processes: started so that they end with us, and told apart from strangers with the same pid.

A pid alone names nobody: after a crash the number belongs to whoever got it
next. `identity` adds what no other process can have, the moment of its start.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.embedded.account import Account, spawn_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PR_SET_PDEATHSIG: Final = 1
ON_LINUX: Final = sys.platform == "linux"
PROC: Final = Path("/proc")
POLL_SECONDS: Final = 0.02
SERVER_BEGINS_SECONDS: Final = 0.1
ORPHAN_POLL_SECONDS: Final = 1.0
ORPHAN_GRACE_SECONDS: Final = 3.0
"""How long an orphan may take to end in order when no request is under way."""


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs before ``exec`` so that the kernel signals it when its parent is gone.

    Linux only; elsewhere leftovers are found at the next start. It runs after
    the change of user, which would clear the wish.
    """
    if not ON_LINUX:
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def wish() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before the wish was made
            os._exit(1)

    return wish


def follow_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel signal this process when ``parent`` is gone; end at once when it is gone already."""
    if ON_LINUX:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os._exit(1)


def end_when_orphaned(parent: int, is_busy: Callable[[], bool], *, drain_seconds: float) -> None:
    """Have this process end in any case once ``parent`` is gone, from a thread that looks each second.

    The signal of `follow_parent` ends it in order. But Granian's worker (2.8.7) may miss a signal while it
    begins, and nobody is left to insist: such a process would keep the port from the next server.

    Args:
        parent: The process that may not be outlived.
        is_busy: Whether requests are being answered.
        drain_seconds: How long those may take.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_POLL_SECONDS)
        end = monotonic_seconds() + drain_seconds
        while is_busy() and monotonic_seconds() < end:
            time.sleep(ORPHAN_POLL_SECONDS)
        time.sleep(ORPHAN_GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="orphan watch", daemon=True).start()


@contextmanager
def ended_at_once_until_served(then: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Have SIGTERM end a server's process that does not serve yet; yield what says that it soon does.

    There is nothing to drain until then, and Granian's handler (2.8.7) waits for ever for a server that has
    not begun. A process that nobody forked keeps its handlers.

    Args:
        then: Called when the server has its handler back.
    """
    if multiprocessing.parent_process() is None or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def restore() -> None:
        signal.signal(signal.SIGTERM, handler)
        then()

    def serves() -> None:
        # the server begins when the loop has returned to it from the start-up, and then runs the loop again
        asyncio.get_running_loop().call_later(SERVER_BEGINS_SECONDS, restore)

    yield serves


def spawn(  # noqa: PLR0913 (named arguments of one call)
    arguments: Sequence[str | Path],
    *,
    log: IO[bytes] | int | None,
    environ: Mapping[str, str] | None = None,
    account: Account | None = None,
    directory: Path = Path("/"),
    orphan_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that the terminal's Ctrl-C does not reach it."""
    options: dict[str, Any] = spawn_identity(account)
    return subprocess.Popen(  # noqa: S603 (commands are ours)
        [str(argument) for argument in arguments],
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=die_with_parent(orphan_signal),  # noqa: PLW1509 (the supervisor has one thread)
        **options,
    )


def identity(pid: int) -> str | None:
    """Return what distinguishes the living process ``pid`` from all others that ever had the number.

    None when there is no such process, or only its zombie.
    """
    return _identity_linux(pid) if ON_LINUX else _identity_ps(pid)


def _identity_linux(pid: int) -> str | None:
    try:
        # the name in parentheses may hold anything, so count from the last one
        fields = (
            (PROC / str(pid) / "stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}:{started}"


def _identity_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (a number)
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def is_same(pid: int, known: str | None) -> bool:
    """Say whether ``pid`` still is the process that had this `identity`."""
    return known is not None and identity(pid) == known


def programs_in(directory: Path, program: str) -> Iterator[int]:
    """Find living processes of ``program`` that work in ``directory`` (Linux; nothing elsewhere)."""
    if not ON_LINUX:
        return
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            runs = Path((entry / "exe").readlink()).name.removesuffix(" (deleted)") == program
            found = runs and (entry / "cwd").readlink() == directory
        except OSError:  # gone meanwhile, or somebody else's
            continue
        if found and identity(int(entry.name)) is not None:
            yield int(entry.name)


def wait_gone(pids: Sequence[int], seconds: float) -> list[int]:
    """Wait until none of ``pids`` lives; return those that still do."""
    end = monotonic_seconds() + seconds
    left = list(pids)
    while left and monotonic_seconds() < end:
        left = [pid for pid in left if identity(pid) is not None]
        if left:
            time.sleep(POLL_SECONDS)
    return left


def end_all(pids: Sequence[int], ladder: Sequence[tuple[signal.Signals, float]]) -> list[int]:
    """Signal processes more and more firmly; return those that survived it all.

    Args:
        pids: Processes that were checked to be ours.
        ladder: Signals, each with the seconds to wait before the next.
    """
    left = list(pids)
    for number, seconds in ladder:
        for pid in left:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        left = wait_gone(left, seconds)
        if not left:
            break
    return left
