"""A real PostgreSQL of our own, from the programs of a wheel.

A new data directory is made beside its final name, with the database in it,
and renamed: an initialisation that broke off leaves nothing to trip over.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from monohull.kernel.embedded.account import give, spawn_identity
from monohull.kernel.embedded.binaries import major, postgres_bin, reachable_copy, version_of
from monohull.kernel.embedded.ports import LOOPBACK
from monohull.kernel.embedded.process import identity
from monohull.kernel.embedded.server import Server, server_environment
from monohull.kernel.refusals import NotReachable, WrongSetup, disk_full, tells_of_full_disk

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGIN: Final = "monohull"
DATABASE: Final = "monohull"
BUILTIN_LOCALE_SINCE: Final = 17
SYNC_METHOD_SINCE: Final = 17
STATUS_LINE: Final = 7
"""Line of ``postmaster.pid``, from 0, that says ``starting`` or ``ready`` (LOCK_FILE_LINE_PM_STATUS)."""
SHARED_MEMORY_IN_USE: Final = "pre-existing shared memory block"

MODEST: Final = """
# Written once, for a small machine; change it freely.
shared_buffers = 128MB
max_connections = 100
max_wal_size = 1GB
min_wal_size = 80MB
max_wal_senders = 10
max_replication_slots = 10
max_slot_wal_keep_size = 2GB    # a forgotten slot must not fill the disk
log_min_messages = warning
log_line_prefix = '%m [%p] %q%u@%d %a '    # %a names the trace of what is recorded
log_timezone = 'UTC'
timezone = 'UTC'
# The login monohull must not build in the schema monohull, which the default "$user" would make it do.
search_path = 'public, extensions'
"""

DURABLE: Final = ("wal_level=logical",)
NOT_DURABLE: Final = (
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "max_connections=200",
    # a copied database is then not written to the log too
    "wal_level=minimal",
    "max_wal_senders=0",
)


class EmbeddedPostgres(Server):
    """PostgreSQL with one login ``monohull`` (superuser, SCRAM) and one database ``monohull``.

    Args:
        state: Folder for its files; see `Server`.
        password: Of the login ``monohull``, set when the data directory is made.
        durable: False for tests.
        bin_dir: Programs to use in place of the wheel's, of major 14 or later.
        port: Insist on this port.
    """

    name = "postgres"
    program = "postgres"
    orphan_signal = signal.SIGINT  # fast shutdown; SIGTERM would wait for every client to leave

    def __init__(
        self,
        state: Path,
        *,
        password: str,
        durable: bool = True,
        bin_dir: Path | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(state, password=password, durable=durable, port=port)
        self._bin_dir = bin_dir
        self._programs: Path | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{LOGIN}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def bin_dir(self) -> Path:
        """The folder of the programs in use, ``pg_dump`` among them."""
        return self._programs or self._bin_dir or postgres_bin()

    def _prepare(self) -> None:
        program = (self._bin_dir or postgres_bin()) / self.program
        self._version = version_of(program)
        self._programs = reachable_copy(
            program, version=self._version, into=self.folder, account=self.account
        ).parent
        for draft in self.folder.glob("postgres.new-*"):
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
        if not self.durable and self._port is None and self.data.exists():
            shutil.rmtree(self.data)  # what an unsafe server left is not to be trusted
        if self.data.exists():
            self._check_data()
            self._drop_stale_lock()
        else:
            self._initialise()

    def _check_data(self) -> None:
        """Refuse files of another major, or of somebody else.

        Raises:
            WrongSetup: With the way out.
        """
        wrote = int((self.data / "PG_VERSION").read_text(encoding="ascii"))
        ours = major(self.version)
        if wrote != ours:
            raise WrongSetup(
                f"the data in {self.data} was written by PostgreSQL {wrote} "
                f"and this installation carries {ours}: run the Monohull release that carries {wrote}, "
                "dump the database there with pg_dump and load the dump into a new home; "
                "or set MONOHULL_DATABASE_URL"
            )
        owner = self.data.stat().st_uid
        if owner != (self.account.uid if self.account else os.geteuid()):
            raise WrongSetup(
                f"the data in {self.data} belongs to user id {owner}; "
                "start as the user that made it, or use another home"
            )

    def _drop_stale_lock(self) -> None:
        """Remove a ``postmaster.pid`` whose number now belongs to a process of another kind.

        The server removes the file itself when nobody has that pid. After a
        restart of a container the pid is often alive and somebody else's; it would
        then refuse for ever. No server works in this folder: `_end_leftovers` saw to it.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if identity(pid) is not None and sys.platform == "linux":
            lock.unlink()

    def _initialise(self) -> None:
        draft = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.folder))
        try:
            give(draft, self.account)
            self._run_initdb(draft)
            with (draft / "postgresql.conf").open("a", encoding="utf-8") as configuration:
                configuration.write(MODEST)
            self._run(
                "postgres", "--single", "-F", "-D", draft, "postgres", text=f"CREATE DATABASE {DATABASE}\n"
            )
            if self.durable:
                self._run("initdb", "--sync-only", *self._sync_method(), "-D", draft)
            draft.rename(self.data)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _run_initdb(self, draft: Path) -> None:
        handle, name = tempfile.mkstemp(prefix="postgres.new-", dir=self.folder)
        password_file = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(self.password)
            give(password_file, self.account)
            options: list[str | Path] = [
                "-U",
                LOGIN,
                "-A",
                "scram-sha-256",
                "--pwfile",
                password_file,
                "-E",
                "UTF8",
                *self._locale(),
            ]
            options += [
                "--data-checksums",
                "--no-instructions",
                "--no-sync",
            ]  # synced once, when all is there
            self._run("initdb", "-D", draft, *options)
        finally:
            password_file.unlink()

    def _sync_method(self) -> list[str]:
        """One call for the device in place of one a file, where the system has it: a tenth of the time."""
        on_linux = sys.platform == "linux"
        return ["--sync-method=syncfs"] if on_linux and major(self.version) >= SYNC_METHOD_SINCE else []

    def _locale(self) -> list[str]:
        if major(self.version) < BUILTIN_LOCALE_SINCE:
            return ["--locale=C.UTF-8"]
        system = "C.UTF-8" if sys.platform == "linux" else "C"
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", f"--locale={system}"]

    def _run(self, program: str, *arguments: str | Path, text: str = "") -> None:
        done = subprocess.run(  # noqa: S603 (a program of the wheel)
            [self.bin_dir / program, *arguments],
            check=False,
            input=text,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=server_environment(),
            **spawn_identity(self.account),
        )
        if done.returncode == 0:
            return
        if tells_of_full_disk(done.stdout):
            raise disk_full(self.folder)
        words = "; ".join(
            [line for line in done.stdout.splitlines() if "rror" in line or "FATAL" in line][-3:]
        )
        raise NotReachable(f"{program} failed in {self.folder}: {words or done.stdout.strip()[-300:]}")

    def _command(self, port: int) -> Sequence[str | Path]:
        sockets = self.socket_directory if self._socket_fits() else ""
        settings = [
            f"listen_addresses={LOOPBACK}",
            f"unix_socket_directories={sockets}",
            "unix_socket_permissions=0700",
            "password_encryption=scram-sha-256",
            *(["shared_preload_libraries=pg_stat_statements"] if self._has_statements() else []),
            *(DURABLE if self.durable else NOT_DURABLE),
        ]
        options = [part for setting in settings for part in ("-c", setting)]
        return [self.bin_dir / self.program, "-D", self.data, "-p", str(port), *options]

    def _has_statements(self) -> bool:
        library = self.bin_dir.parent / "lib"
        return next(library.rglob("pg_stat_statements.*"), None) is not None

    def _is_ready(self, port: int) -> bool:
        """Read the status that the server keeps on the last line of its own lock file."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        if len(lines) <= STATUS_LINE or lines[0] != str(self.pid) or lines[3] != str(port):
            return False
        return lines[STATUS_LINE].strip() == "ready"

    def _stop_signal(self) -> signal.Signals:
        return signal.SIGINT if self.durable else signal.SIGQUIT

    def _retry_seconds(self, words: str) -> float | None:
        # backends of a killed server notice within moments and let go of its memory
        return 0.2 if SHARED_MEMORY_IN_USE in words else super()._retry_seconds(words)


def new_password() -> str:
    """Return a password for a server of one session, a test's for example."""
    return secrets.token_urlsafe(24)
