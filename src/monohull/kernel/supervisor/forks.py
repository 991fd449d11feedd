"""Children as forks of a supervisor that has loaded the product, so that all of them share it in memory.

API and worker load the same hundred megabytes of code. A fork starts with its
parent's memory and gets pages of its own only where it writes, and it need not
load anything again. What a new program would not inherit is left behind, as
`exec` would leave it: file descriptors (locks among them), signal handlers, the
working directory and the environment.

Only on Linux and only while the supervisor has a single thread, which no other
can have left in the middle of something; elsewhere children are new programs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from monohull.kernel.embedded.process import ON_LINUX, PROC, follow_parent
from monohull.kernel.heap import begin_loading, settle
from monohull.kernel.supervisor.signals import STOPS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TITLE: Final = "monohull-{}"
FIRST_PRIVATE_DESCRIPTOR: Final = 3
HANDLED: Final = (*STOPS, signal.SIGCHLD)


class Process(Protocol):
    """What the supervisor needs of a child: `subprocess.Popen` has it, and `Fork`."""

    pid: int
    returncode: int | Any

    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...


class Fork:
    """A forked child, with what `subprocess.Popen` has of one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it lives."""
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self) -> int:
        """Return the exit code, when there is one."""
        if self.returncode is None:
            self._reap(0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it was reaped: its number may be another's by then."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _reap(self, options: int) -> None:
        pid, status = os.waitpid(self.pid, options)
        if pid == self.pid:
            self.returncode = os.waitstatus_to_exitcode(status)


class Forks:
    """How to load the product into this process, and how to run a command of it in a fork.

    Args:
        load: Imports what the commands run; called once.
        run: Runs a command given its arguments, as the program would.
    """

    def __init__(self, load: Callable[[], None], run: Callable[[Sequence[str]], object]) -> None:
        self._load = load
        self._run = run
        self.is_loaded = False

    def load(self, environ: Mapping[str, str]) -> None:
        """Load the product with some variables set, which libraries read when they are imported.

        Where that does not go well children are new programs, which say themselves what is wrong.
        """
        if not ON_LINUX:
            return
        os.environ.update(environ)
        begin_loading()
        try:
            self._load()
        except Exception:  # noqa: BLE001 whatever it is, a child meets it too and says it
            return
        finally:
            settle()
        self.is_loaded = is_single_threaded()

    def start(self, arguments: Sequence[str], *, environ: Mapping[str, str], directory: Path) -> Fork:
        """Run a command in a fork: in a session of its own that ends when this process does."""
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        # a signal that is for the child waits until the child has no handler of this process any more
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            if (pid := os.fork()) == 0:
                self._become(arguments, parent, environ, directory, blocked)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return Fork(pid)

    def _become(
        self,
        arguments: Sequence[str],
        parent: int,
        environ: Mapping[str, str],
        directory: Path,
        blocked: set[Any],
    ) -> NoReturn:
        code = 1
        try:
            os.setsid()
            follow_parent(parent, signal.SIGTERM)
            forget_handlers()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            close_private_descriptors()
            name_process(arguments[0])  # it writes where the environment was when the process began
            os.environ.clear()
            os.environ.update(environ)
            os.chdir(directory)
            code = exit_code_of(lambda: self._run(arguments))
        except BaseException:  # noqa: BLE001 the process ends here, and says why
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


def is_single_threaded() -> bool:
    """Say whether this process has one thread, those that are not Python's counted too."""
    return len(list((PROC / "self" / "task").iterdir())) == 1


def forget_handlers() -> None:
    """Have signals do what they do in a new program; one that is ignored stays ignored."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            ours = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
            signal.signal(number, ours)


def close_private_descriptors() -> None:
    """Replace what a new program would not inherit, and the standard input, by the null device.

    Replaced and not closed: objects of the parent that close theirs later must not meet a new file.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    for number in [int(entry.name) for entry in (PROC / "self" / "fd").iterdir()]:
        with contextlib.suppress(OSError):  # the one that the folder was read with
            if number >= FIRST_PRIVATE_DESCRIPTOR and number != null and not os.get_inheritable(number):
                os.dup2(null, number, inheritable=False)
    os.close(null)


def name_process(command: str) -> None:
    """Show ``command`` in lists of processes, where the supervisor's own command would stand."""
    with contextlib.suppress(ImportError):
        from setproctitle import setproctitle  # noqa: PLC0415 it may be missing

        setproctitle(TITLE.format({"serve": "api"}.get(command, command)))


def exit_code_of(run: Callable[[], object]) -> int:
    """Return what the interpreter would exit with after ``run``, having printed what it would print."""
    try:
        run()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 the end of a process: it says why
        traceback.print_exc()
        return 1
    return 0
