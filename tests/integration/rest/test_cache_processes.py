"""Random writes and reads through two processes: no read is older than the bound, or somebody else's."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg
import httpx
import pytest

from modules.auth.tokens import TokenCodec
from monohull.kernel.clock import monotonic_seconds
from tests import brokers
from tests.application import JWT_SECRET, anon_key
from tests.brokers import broker_running
from tests.integration.rest.stores import MemcachedBeside
from tests.integration.standing import (  # noqa: F401 found by name
    connections,
    database,
    platform_database,
    standing,
)
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUND_SECONDS: Final = 0.5
ROWS: Final = 20
USERS: Final = 5
TASKS: Final = 8

SQL = f"""
create table public.products (id int primary key, version bigint not null);
alter table products enable row level security;
create policy all_see on products for select using (true);
insert into products select n, 0 from generate_series(1, {ROWS}) as n;

create table public.notes (id int primary key, owner uuid not null, version bigint not null);
alter table notes enable row level security;
create policy own on notes for select to authenticated using (owner = (select auth.uid()));
insert into notes select n, ('00000000-0000-0000-0000-' || lpad((1 + n % {USERS})::text, 12, '0'))::uuid, 0
    from generate_series(1, {ROWS}) as n;
grant select on products, notes to anon, authenticated;
""" + "".join(
    f"""
create trigger monohull_cache after insert or update or delete or truncate on public.{name}
    for each statement execute function monohull.tell_of_rows('60');
alter table public.{name} enable always trigger monohull_cache;
"""
    for name in ("products", "notes")
)


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    return (SQL,)


class Watched:
    """What was committed and what was read.

    Attributes:
        commits: By table and id: version, and when the commit was known to be done.
        answers: By what the cache said of them.
        oldest_seconds: How old a read was at most.
    """

    def __init__(self) -> None:
        self.commits: dict[tuple[str, int], list[tuple[int, float]]] = {}
        self.answers: dict[str, int] = {}
        self.oldest_seconds = 0.0

    def committed(self, key: tuple[str, int], version: int) -> None:
        self.commits.setdefault(key, [(0, float("-inf"))]).append((version, monotonic_seconds()))

    def read(self, key: tuple[str, int], version: int, asked: float) -> None:
        """Check that no later version had been committed before the bound."""
        for newer, at in self.commits.get(key, ()):
            if newer > version:
                age = asked - at
                self.oldest_seconds = max(self.oldest_seconds, age)
                assert age < BOUND_SECONDS, f"{key} was read at {version} {age} s after {newer}"


def sub(user: int) -> str:
    return f"00000000-0000-0000-0000-{user:012d}"


@asynccontextmanager
async def serving(environ: Mapping[str, str], home: Path) -> AsyncIterator[str]:
    """Run a process while the block runs; return its address once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.mkdir()  # noqa: ASYNC240 a moment
    command = [sys.executable, "-m", "monohull", "serve", "--port", str(port)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 of this thread, which it ends with
            command, env={**environ, "MONOHULL_HOME": str(home)}, cwd=home, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client, asyncio.timeout(PATIENCE_SECONDS):
            while not await is_ready(client, url):
                assert process.poll() is None, (home / "log").read_text()[-3000:]
                await asyncio.sleep(0.2)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, PATIENCE_SECONDS)


async def is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def write(database: asyncpg.Connection, watched: Watched) -> None:  # noqa: F811
    """Change a row; the database counts, for only it knows which of two who meet at a row comes later."""
    table, number = random.choice(("products", "notes")), random.randint(1, ROWS)
    transaction = database.transaction()
    await transaction.start()
    changed = f"update {table} set version = version + 1 where id = $1 returning version"
    version = await database.fetchval(changed, number)
    if random.random() < 0.2:
        await transaction.rollback()
        return
    await transaction.commit()
    watched.committed((table, number), version)


async def read(client: httpx.AsyncClient, url: str, watched: Watched) -> None:
    headers, user = {"apikey": anon_key()}, random.randint(1, USERS)
    asked = monotonic_seconds()
    if random.random() < 0.5:
        number = random.randint(1, ROWS)
        response = await client.get(f"{url}/rest/v1/products?id=eq.{number}", headers=headers)
        assert response.status_code == 200, response.text
        watched.read(("products", number), response.json()[0]["version"], asked)
    else:
        claims = {"sub": sub(user), "role": "authenticated", "exp": 4_000_000_000, "aud": "authenticated"}
        headers["Authorization"] = f"Bearer {TokenCodec(secret=JWT_SECRET).sign(claims)}"
        response = await client.get(f"{url}/rest/v1/notes?order=id", headers=headers)
        assert response.status_code == 200, response.text
        rows = response.json()
        assert {row["owner"] for row in rows} == {sub(user)}, "somebody else's"
        assert [row["id"] for row in rows] == [n for n in range(1, ROWS + 1) if 1 + n % USERS == user]
        for row in rows:
            watched.read(("notes", row["id"]), row["version"], asked)
    said = re.sub(r"^monohull; |; ttl=\d+", "", response.headers.get("cache-status", "none"))
    watched.answers[said] = watched.answers.get(said, 0) + 1


async def run(
    connections: Connections,  # noqa: F811
    home: Path,
    operations: int,
    store: Mapping[str, str],
    disturb: Mapping[int, Callable[[], Awaitable[None]]] | None = None,
) -> Watched:
    """Have tasks write one time in twenty, and read from either process otherwise.

    Args:
        connections: Of the database and Redis.
        home: For the files of the processes.
        operations: How many in all.
        store: Settings that say what answers are shared through.
        disturb: What is done to it before the operation of a number.
    """
    watched, left = Watched(), iter(range(operations))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")} | {
        "MONOHULL_ENV": "production",
        "MONOHULL_DATABASE_URL": connections.owner_url,
        "MONOHULL_REDIS_URL": connections.redis_url,
        "MONOHULL_JWT_SECRET": JWT_SECRET,
        "MONOHULL_REST_CACHE_BOUND_SECONDS": str(BOUND_SECONDS),
        **store,
    }
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serving(environ, home / name)) for name in ("one", "other")]

        async def work() -> None:
            own = await asyncpg.connect(connections.owner_url)
            async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
                for number in left:
                    if disturb and number in disturb:
                        await disturb[number]()
                    if random.random() < 0.05:
                        await write(own, watched)
                    else:
                        await read(client, random.choice(urls), watched)
            await own.close()

        await asyncio.gather(*(work() for _ in range(TASKS)))
    sys.stderr.write(f"{operations}: {watched.answers}, oldest read {watched.oldest_seconds:.3f} s\n")
    return watched


REDIS: Final = {"MONOHULL_REST_CACHE_REDIS": "main"}


OPERATIONS: Final = pytest.mark.parametrize(
    "operations", [1_000, pytest.param(10_000, marks=pytest.mark.slow)], ids=str
)


@OPERATIONS
async def test_random_writes_and_reads(
    connections: Connections,  # noqa: F811
    tmp_path: Path,
    operations: int,
) -> None:
    watched = await run(connections, tmp_path, operations, REDIS)
    assert watched.answers["hit"] > operations // 20, watched.answers
    assert len(watched.commits) > 10


async def with_memcached(connections: Connections, home: Path, operations: int) -> Watched:  # noqa: F811
    """Do the same through two servers of Memcached, of which one is emptied, killed and started again."""
    with broker_running(brokers.Memcached) as one, broker_running(brokers.Memcached) as other:
        emptied = MemcachedBeside(one.url)

        async def flush() -> None:
            await emptied.flush()

        async def kill() -> None:
            one.kill()

        async def start() -> None:
            one.start()

        disturb = {
            operations // 5: flush,
            2 * operations // 5: kill,
            3 * operations // 5: start,
            4 * operations // 5: flush,
        }
        store = {"MONOHULL_REST_CACHE_MEMCACHED": f"memcached://{one.address},{other.address}"}
        watched = await run(connections, home, operations, store, disturb)
        log = "".join((home / name / "log").read_text() for name in ("one", "other"))
        assert "dependency.lost" in log
        assert one.address in log
        return watched


@OPERATIONS
async def test_random_writes_and_reads_with_memcached(
    connections: Connections,  # noqa: F811
    tmp_path: Path,
    operations: int,
) -> None:
    watched = await with_memcached(connections, tmp_path, operations)
    assert watched.answers["hit"] > operations // 20, watched.answers
    assert watched.answers["hit; detail=memcached"] > operations // 200, watched.answers
    assert len(watched.commits) > 10
