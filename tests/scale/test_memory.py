"""A million rows go out and a hundred thousand come in, and the serving process stays small."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self

import asyncpg
import httpx
import psutil
import pytest

from tests.application import service_key
from tests.integration.cli.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.slow

ROWS: Final = 1_000_000
INSERTED: Final = 100_000
MOST_MIB: Final = 64.0
SERVICE: Final = {"Authorization": f"Bearer {service_key()}"}


class Growth:
    """The most that a process and its children grew while the block ran, in MiB."""

    def __init__(self) -> None:
        self._processes = self._serving()
        self._before = self._size()
        self._most = self._before
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    @staticmethod
    def _serving() -> list[psutil.Process]:
        """Find the server among the children of this process, by the title it gives itself, and its own."""
        servers = [
            child for child in psutil.Process().children() if child.cmdline()[0].startswith("monohull-")
        ]
        assert servers
        return [process for server in servers for process in (server, *server.children(recursive=True))]

    def _size(self) -> int:
        return sum(process.memory_info().rss for process in self._processes if process.is_running())

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self._most = max(self._most, self._size())

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    @property
    def mebibytes(self) -> float:
        return (self._most - self._before) / 2**20


@pytest.fixture
async def million(connections: Connections) -> Connections:
    database = await asyncpg.connect(connections.owner_url)
    try:
        await database.execute(
            f"""create table million (id int primary key, name text, price numeric, at timestamptz);
                insert into million
                select n, 'row number ' || n, n / 4.0, timestamptz '2026-01-01' + n * interval '1 s'
                from generate_series(1, {ROWS}) n;
                create table incoming (id int primary key, name text, price numeric);
                analyze"""
        )
    finally:
        await database.close()
    return connections


@pytest.fixture
def server(million: Connections, tmp_path: Path) -> Iterator[httpx.Client]:
    settings = {"rest_max_rows": "", "log_level": "error", "body_limit_bytes": "100000000"}
    with (
        serve(million, tmp_path, **settings) as url,
        httpx.Client(base_url=url, headers=SERVICE, timeout=300) as client,
    ):
        for _ in range(50):
            client.get("/rest/v1/million?limit=100").raise_for_status()
        yield client


@pytest.mark.parametrize("media", ["application/json", "text/csv"])
def test_a_million_rows_go_out(
    server: httpx.Client, media: str, record_property: Callable[[str, object], None]
) -> None:
    size = lines = 0
    started = time.monotonic()
    with Growth() as growth, server.stream("GET", "/rest/v1/million", headers={"Accept": media}) as response:
        assert response.status_code == 200, response.read()
        for chunk in response.iter_bytes():
            size += len(chunk)
            lines += chunk.count(b"\n")
    record_property("seconds", time.monotonic() - started)
    record_property("sent_mib", size / 2**20)
    record_property("growth_mib", growth.mebibytes)
    assert lines in (ROWS, ROWS - 1), "a header and a line each, or a comma and a line feed between two"
    assert growth.mebibytes < MOST_MIB


@pytest.mark.parametrize("media", ["application/json", "text/csv"])
def test_a_hundred_thousand_rows_come_in(
    server: httpx.Client, media: str, record_property: Callable[[str, object], None]
) -> None:
    if media == "text/csv":
        lines = ["id,name,price", *(f"{n},row number {n},{n}.25" for n in range(INSERTED))]
        body = "\n".join(lines).encode()
    else:
        body = (
            "["
            + ",".join(f'{{"id":{n},"name":"row number {n}","price":{n}.25}}' for n in range(INSERTED))
            + "]"
        ).encode()
    with Growth() as growth:
        response = server.post(
            "/rest/v1/incoming", content=body, headers={"Content-Type": media, "Prefer": "count=exact"}
        )
    record_property("received_mib", len(body) / 2**20)
    record_property("growth_mib", growth.mebibytes)
    assert (response.status_code, response.headers["content-range"]) == (201, f"*/{INSERTED}")
    assert growth.mebibytes < MOST_MIB
