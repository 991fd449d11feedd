"""A real Redis of our own: Valkey, from the program of a wheel.

The password stands in a file that only the server's account reads, never on
the command line, where every user of the machine sees it.
"""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from monohull.kernel.embedded.account import give, own_directory
from monohull.kernel.embedded.binaries import major, reachable_copy, redis_binary, version_of
from monohull.kernel.embedded.ports import LOOPBACK
from monohull.kernel.embedded.server import Server
from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ANSWER_SECONDS: Final = 1.0
READY: Final = b"+OK\r\n+PONG\r\n"


class EmbeddedRedis(Server):
    """Valkey with a password, an append-only file, and no eviction: it holds queued jobs."""

    name = "redis"
    program = "valkey-server"

    @property
    def url(self) -> str:
        return f"redis://:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        found = redis_binary()
        self._version = version_of(found)
        self._binary = reachable_copy(found, version=self._version, into=self.folder, account=self.account)
        own_directory(self.data, self.account)
        self._check_data()

    def _check_data(self) -> None:
        """Record the version, and refuse files of a newer major, which older servers cannot read.

        Raises:
            WrongSetup: With the way out.
        """
        record = self.data / "VERSION"
        if record.exists() and major(wrote := record.read_text(encoding="ascii").strip()) > major(
            self.version
        ):
            raise WrongSetup(
                f"the data in {self.data} was written by Valkey {wrote} "
                f"and this installation carries {self.version}: run the Monohull release that carries it, "
                "or set MONOHULL_REDIS_URL; deleting the folder loses queued jobs and nothing else"
            )
        record.write_text(f"{self.version}\n", encoding="ascii")

    def _command(self, port: int) -> Sequence[str | Path]:
        path = self.data / "valkey.conf"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text("\n".join(self._configuration(port)) + "\n", encoding="utf-8")
        give(path, self.account)
        return [self._binary, path]

    def _configuration(self, port: int) -> list[str]:
        return [
            f"bind {LOOPBACK}",
            f"port {port}",
            f'unixsocket "{self.socket_directory / "redis.sock"}"' if self._socket_fits() else "",
            "unixsocketperm 700",
            f'requirepass "{self.password}"',
            f'dir "{self.data}"',
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "daemonize no",
            "loglevel notice",
            "always-show-logo no",
        ]

    def _is_ready(self, port: int) -> bool:
        """Log in and ping; a server that is still reading its file answers LOADING."""
        try:
            with socket.create_connection((LOOPBACK, port), ANSWER_SECONDS) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < len(READY.splitlines()) and (part := connection.recv(512)):
                    answer += part
        except OSError:
            return False
        return answer == READY

    def _stop_signal(self) -> signal.Signals:
        return signal.SIGTERM if self.durable else signal.SIGKILL
