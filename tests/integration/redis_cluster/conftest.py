"""A Redis Cluster of three nodes: what has the fixture `redis_url` runs on it here."""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from monohull.kernel.embedded.binaries import redis_binary
from monohull.kernel.embedded.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


PASSWORD = "of the cluster"
START_SECONDS = 60.0
SLOTS = 16_384
NODES = 3


class Cluster:
    """Three primaries that share the slots; keys of one command have to be in one of them.

    Args:
        folder: For their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ports = [free_port() for _ in range(NODES)]
        self._buses = [free_port() for _ in range(NODES)]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """With the first two nodes; clients find the third."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports[:2])
        return f"redis+cluster://:{PASSWORD.replace(' ', '%20')}@{hosts}"

    def start(self) -> None:
        """Start the nodes, have them know each other, and wait until every slot is served."""
        for port, bus in zip(self.ports, self._buses, strict=True):
            self._processes.append(self._spawn(port, bus))
        clients: list[Any] = [Redis(port=port, password=PASSWORD) for port in self.ports]
        share = -(-SLOTS // NODES)
        for at, client in enumerate(clients):
            self._until(lambda client=client: client.ping())
            first, last = at * share, min((at + 1) * share, SLOTS) - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for port, bus in zip(self.ports[1:], self._buses[1:], strict=True):
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        for client in clients:
            self._until(lambda client=client: _knows_all(client))
            client.close()

    def stop(self) -> None:
        """End the nodes."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    def empty(self) -> None:
        """Have every node forget its keys."""
        for port in self.ports:
            with Redis(port=port, password=PASSWORD) as client:
                client.flushall()

    def numbers(self) -> list[int]:
        """Return how many keys each node holds."""
        found = []
        for port in self.ports:
            with Redis(port=port, password=PASSWORD) as client:
                found.append(client.dbsize())
        return found

    def _spawn(self, port: int, bus: int) -> subprocess.Popen[bytes]:
        folder = self._folder / str(port)
        folder.mkdir()
        lines = (
            f'dir "{folder}"',
            'save ""',
            "bind 127.0.0.1",
            f"port {port}",
            f'requirepass "{PASSWORD}"',
            f'primaryauth "{PASSWORD}"',
            "cluster-enabled yes",
            f"cluster-port {bus}",
            "cluster-announce-ip 127.0.0.1",
            "maxmemory-policy noeviction",
        )
        path = folder / "valkey.conf"
        path.write_text("\n".join(lines) + "\n")
        return subprocess.Popen(
            [str(redis_binary()), str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )

    @staticmethod
    def _until(holds: Any) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(RedisError, OSError):
                if holds():
                    return
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.05)


def _knows_all(client: Any) -> bool:
    text = client.execute_command("CLUSTER", "INFO")
    found = (
        text
        if isinstance(text, dict)
        else dict(line.split(":") for line in bytes(text).decode().split("\r\n") if ":" in line)
    )
    return found["cluster_state"] == "ok" and int(found["cluster_size"]) == NODES


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="monohull-cluster-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def redis_url(redis_cluster: Cluster) -> str:
    """Address of the empty cluster."""
    redis_cluster.empty()
    return redis_cluster.url
