"""What the embedded servers have in common: one start at a time, leftovers ended, readiness awaited.

A start is safe after SIGKILL of anything: the lock goes away with its process,
a server that outlived its supervisor is found and ended before its files are
touched, and files are prepared beside their final name.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import time
from abc import ABC, abstractmethod
from typing import IO, TYPE_CHECKING, ClassVar, Final

import msgspec

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.embedded.account import Account, own_directory, service_account, service_folder
from monohull.kernel.embedded.ports import free_port, is_free
from monohull.kernel.embedded.process import POLL_SECONDS, end_all, identity, is_same, programs_in, spawn
from monohull.kernel.refusals import NotReachable, Refused, WrongSetup, disk_full, tells_of_full_disk, writing

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

LOG_LIMIT_BYTES: Final = 10_000_000
"""A larger log is set aside at start as ``NAME.log.1``."""
MAX_SOCKET_PATH_BYTES: Final = 90
"""The system's limit is 104 to 108 bytes, and PostgreSQL adds ``/.s.PGSQL.PORT``."""
TAIL_LINES: Final = 5
START_ATTEMPTS: Final = 5
START_SECONDS: Final = 300.0
"""Recovery after a crash reads the log written since the last checkpoint; that may take a while."""
LEFTOVER_LADDER: Final = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
HEADLESS_LADDER: Final = ((signal.SIGQUIT, 1.0), (signal.SIGKILL, 5.0))
"""For processes whose server is dead: they have nothing to finish, and may be too busy to notice."""


class Record(msgspec.Struct, frozen=True):
    """The last start of a server, kept so that the next one finds a leftover and reuses the port."""

    pid: int
    identity: str
    port: int


class StartInterrupted(Refused):
    """The supervisor was told to stop while a server was starting."""

    exit_code = 130


class Server(ABC):
    """One embedded server and its files.

    Args:
        state: Folder for its files, the home for example; see `service_folder`.
        password: Of the only login.
        durable: False for tests: fast, and everything is gone after a crash.
        port: Insist on this port; else the last one is reused when it is free.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    orphan_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, state: Path, *, password: str, durable: bool = True, port: int | None = None) -> None:
        self.state = state
        self.password = password
        self.durable = durable
        self.account: Account | None = None
        self.folder = state
        self._fixed_port = port
        self._port: int | None = None
        self._version: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._log_start = 0
        self.exit_code: int | None = None

    @property
    def port(self) -> int:
        """The loopback port; known once it was started."""
        if self._port is None:
            raise NotReachable(f"the embedded {self.name} has not been started")
        return self._port

    @property
    def pid(self) -> int:
        """The process id; 0 when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    @property
    def version(self) -> str:
        """The server's own version; known once it was started."""
        return self._version or ""

    @property
    def data(self) -> Path:
        return self.folder / self.name

    @property
    def socket_directory(self) -> Path:
        return self.folder / "sockets"

    def _socket_fits(self) -> bool:
        return len(os.fsencode(self.socket_directory)) <= MAX_SOCKET_PATH_BYTES

    @property
    def log(self) -> Path:
        return self.state / "log" / f"{self.name}.log"

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, with the password."""

    def is_running(self) -> bool:
        """Say whether our child lives; it may still be starting. `exit_code` tells how it died."""
        if self._process is None:
            return False
        self.exit_code = self._process.poll()
        return self.exit_code is None

    def start(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start, or start again on the same port, and return when it takes connections.

        Raises:
            WrongSetup: Files, account, port or versions do not fit; a person has to act.
            NotReachable: The disk is full, or the server ends by itself; with its last words.
            StartInterrupted: ``cancelled`` became true meanwhile.
        """
        if self.is_running():
            return
        try:
            with writing(self.state):
                self._open_folders()
                self._take_lock()
                self._end_leftovers()
                self._prepare()
            self._launch(cancelled)
        except BaseException:
            self.kill()
            raise

    def stop(self, seconds: float = 60.0, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """End it in order; by force when that takes longer than ``seconds`` or ``cancelled`` becomes true."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._stop_signal())
            end = monotonic_seconds() + seconds
            while self._process.poll() is None and monotonic_seconds() < end and not cancelled():
                time.sleep(POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would; the next start recovers."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self.exit_code = self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def end_leftovers(self) -> None:
        """End what an earlier supervisor left running, without starting anything."""
        with writing(self.state):
            self._open_folders()
            self._take_lock()
            try:
                self._end_leftovers()
            finally:
                self.kill()

    def last_words(self, lines: int = TAIL_LINES) -> str:
        """Return the end of what it logged since its last start."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])

    # --- what the two servers do differently -------------------------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """Make the files ready, under the lock, with no server of ours alive."""

    @abstractmethod
    def _command(self, port: int) -> Sequence[str | Path]:
        """Return the arguments that start it in the foreground."""

    @abstractmethod
    def _is_ready(self, port: int) -> bool:
        """Say whether it takes connections now."""

    @abstractmethod
    def _stop_signal(self) -> signal.Signals:
        """The signal of an orderly end."""

    def _retry_seconds(self, words: str) -> float | None:
        """Say how long to wait when ``words`` tell of an obstacle that goes away, else None."""
        return 0.0 if "ddress already in use" in words else None

    # --- starting ----------------------------------------------------------------------------

    def _open_folders(self) -> None:
        self.account = service_account()
        self.folder = service_folder(self.state, self.account, durable=self.durable)
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "run").mkdir(mode=0o711, exist_ok=True)
        own_directory(self.socket_directory, self.account)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = (self.folder / "run" / f"{self.name}.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise WrongSetup(
                f"the embedded {self.name} of {self.state} is in the hands of another process; "
                "stop that one first"
            ) from None
        self._lock = lock

    @property
    def _record_path(self) -> Path:
        return self.folder / "run" / f"{self.name}.json"

    def _record(self) -> Record | None:
        try:
            return msgspec.json.decode(self._record_path.read_bytes(), type=Record)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _write_record(self, process: subprocess.Popen[bytes], port: int) -> None:
        draft = self._record_path.with_name(f".{self.name}.{secrets.token_hex(4)}")
        draft.write_bytes(msgspec.json.encode(Record(process.pid, identity(process.pid) or "", port)))
        draft.rename(self._record_path)

    def _end_leftovers(self) -> None:
        """End servers that an earlier supervisor left working on these files."""
        record = self._record()
        if record is not None and is_same(record.pid, record.identity):
            end_all([record.pid], LEFTOVER_LADDER)
        left = end_all(sorted(programs_in(self.data.resolve(), self.program)), HEADLESS_LADDER)
        if left:
            raise NotReachable(
                f"an older {self.name} of this home does not end: process {left[0]}; end it by hand"
            )

    def _ports(self) -> Sequence[int | None]:
        """Ports to try in order; None is any free one."""
        if self._fixed_port is not None or self._port is not None:
            return [self._fixed_port or self._port] * START_ATTEMPTS
        record = self._record()
        return [
            record.port if record is not None and is_free(record.port) else None,
            *[None] * (START_ATTEMPTS - 1),
        ]

    def _launch(self, cancelled: Callable[[], bool]) -> None:
        end = monotonic_seconds() + START_SECONDS
        words = ""
        for wanted in self._ports():
            port = wanted or free_port()
            while (words := self._try_port(port, end, cancelled)) and (pause := self._retry_seconds(words)):
                time.sleep(pause)
            if not words:
                self._port = port
                return
            if self._retry_seconds(words) is None:
                break
            time.sleep(0.1)
        raise self._refusal(words)

    def _try_port(self, port: int, end: float, cancelled: Callable[[], bool]) -> str:
        """Start once; return the empty text when it is ready, else what it said before it died."""
        with writing(self.state):
            log = self._open_log()
            with log:
                self._process = spawn(
                    self._command(port),
                    log=log,
                    environ=server_environment(),
                    account=self.account,
                    orphan_signal=self.orphan_signal,
                )
            self._write_record(self._process, port)
        while self._process.poll() is None:
            if self._is_ready(port):
                return ""
            if cancelled():
                raise StartInterrupted(f"interrupted while the embedded {self.name} was starting")
            if monotonic_seconds() > end:
                raise NotReachable(
                    f"the embedded {self.name} is not ready after {START_SECONDS:.0f} s; see {self.log}"
                )
            time.sleep(POLL_SECONDS)
        return self.last_words() or f"it ended with status {self._process.returncode}"

    def _open_log(self) -> IO[bytes]:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        log = self.log.open("ab")
        self.log.chmod(0o600)
        self._log_start = log.seek(0, os.SEEK_END)
        return log

    def _refusal(self, words: str) -> Refused:
        if tells_of_full_disk(words):
            return disk_full(self.folder)
        if "ddress already in use" in words:
            return WrongSetup(f"port {self._fixed_port or self._port} of the embedded {self.name} is in use")
        return NotReachable(f"the embedded {self.name} does not start; its last words ({self.log}):\n{words}")


def server_environment() -> dict[str, str]:
    """Return the whole environment of the servers: nothing of ours reaches them."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
