"""Everything is killed while rows are written and webhooks and sinks are told; then accounts are compared.

    writers, SQL ──┐                                ┌─ plain      each event of the writers
                   ├─→ entries, outbox → relay → …  ├─ ordered    the same, in the order of each key
    API, REST   ───┘                                ├─ rows       each row, whoever wrote it
                                                    └─ sinks of `tests.crash_jobs.harbour`

Each transaction has a mark of its own, which it puts into the row and into the event: what is in the table
was committed, and nothing else. Some transactions are rolled back, some events are too large to be sent. A
part of the calls over the API are not waited for (``Prefer: respond-async``).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import asyncpg
import httpx
import msgspec
from msgspec import Struct

from modules.webhooks.assembly import build_endpoints
from modules.webhooks.dtos import CreateEndpoint, RowSubscription
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.configuration import load
from monohull.kernel.database.engine import Database
from monohull.kernel.errors import Problem
from monohull.kernel.outbox import publish
from monohull.kernel.principal import SYSTEM
from monohull.kernel.redis_connection import close_redis, open_redis
from monohull.kernel.runtime import Runtime
from monohull.kernel.tasks import beside
from tests.application import service_key
from tests.crash_jobs.harbour import Harbour
from tests.crash_jobs.module import Entered
from tests.patience import PATIENT

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from monohull.kernel.embedded import EmbeddedRedis
    from monohull.kernel.home import Connections
    from tests.crash_jobs.conftest import Fleet

KEYS: Final = 20
WORKERS: Final = 2
WRITERS: Final = 2
PATIENCE_SECONDS: Final = 180.0
STARTING_SECONDS: Final = 10.0
STEP: Final = 10
"""So many entries are written between two kills, or none for so long."""
LARGE: Final = "x" * 5000
SETTINGS: Final = {
    "outbound_allowed": "127.0.0.1",
    "webhooks_max_body_bytes": "4000",
    "webhooks_retry_base_seconds": "0.05",
    "webhooks_retry_max_seconds": "0.5",
    "streams_retry_base_seconds": "0.05",
    "streams_retry_max_seconds": "0.5",
    "streams_timeout_seconds": "5",
    "worker_concurrency": "5",
    "log_level": "error",
}
TABLES: Final = """
create table public.counters (key int primary key, n int not null default 0);
insert into public.counters (key) select generate_series(0, 19);
create table public.entries (key int, n int, mark uuid, padding text, primary key (key, n));
create function public.enter(key int, mark uuid, padding text, fails boolean) returns int
    language plpgsql volatile as $$
declare
    place int;
begin
    update public.counters as c set n = c.n + 1 where c.key = enter.key returning c.n into place;
    insert into public.entries values (enter.key, place, enter.mark, enter.padding);
    if fails then
        raise 'rolled back';
    end if;
    return place;
end $$;
"""
SETTLED: Final = """
    select not exists (select from monohull.outbox where sequence is null)
        and not exists (select from monohull.webhook_deliveries where state in ('pending', 'sending'))
        and not exists (select from monohull.jobs where name = 'rest.call' and done_at is null)
        and (select sequence from monohull.feed_readers where name = 'webhooks.fanout')
            >= (select sequence from monohull.feed_end)
        and not exists (
            select from monohull.feed_readers as r, monohull.feed_end as e
            where r.name like 'streams.%' and r.sequence < e.sequence
        )
"""
WAITING: Final = (
    "select state, reason, count(*), min(due_at) from monohull.webhook_deliveries group by 1, 2",
    (
        "select s.name, s.last_error, r.sequence, e.sequence from monohull.feed_end as e, "
        "monohull.stream_sinks as s join monohull.feed_readers as r on r.name = 'streams.' || s.id"
    ),
)
IDS: Final = "select payload ->> 'mark' as mark, id::text from monohull.outbox where name = 'storm.entered'"


class Line(Struct, frozen=True, array_like=True):
    """What a receiver took."""

    path: str
    id: str
    mark: str
    key: int
    n: int


class Report(Struct, kw_only=True):
    """What happened."""

    seconds: float
    settling_seconds: float
    committed: int
    taken: int
    distinct: int
    dead: int
    carried: int
    carried_distinct: int
    kills: dict[str, int]

    def __str__(self) -> str:
        kills = ", ".join(f"{name} {number}" for name, number in sorted(self.kills.items()))
        return (
            f"{self.committed} transactions in {self.seconds:.1f} s, settled {self.settling_seconds:.1f} s "
            f"later; {self.taken} requests taken of {self.distinct} deliveries, {self.dead} dead letters; "
            f"{self.carried} entries in brokers of {self.carried_distinct} events; "
            f"killed: {kills}"
        )


class Storm:
    """Runs the processes, and kills them.

    Args:
        fleet: Starts and kills processes.
        connections: A database with the platform's schema, and Redis.
        redis: The same Redis; it forgets everything when it dies.
        folder: For what the receivers take.
        events: So many transactions at least.
        seed: Of the dice.
        pause_seconds: Of a writer between two transactions.
    """

    def __init__(  # noqa: PLR0913 all is said by name
        self,
        fleet: Fleet,
        connections: Connections,
        redis: EmbeddedRedis,
        folder: Path,
        *,
        events: int,
        seed: int = 6,
        pause_seconds: float = 0.01,
    ) -> None:
        self._fleet = fleet
        self._connections = connections
        self._redis = redis
        self._book = folder / "taken"
        self._harbour = Harbour(folder)
        self._events = events
        self._dice = random.Random(seed)
        self._pause_seconds = pause_seconds
        self._ports = [free_port(), free_port()]
        self._running: dict[str, list[subprocess.Popen[bytes]]] = defaultdict(list)
        self.kills: Counter[str] = Counter()
        self.answered: set[str] = set()
        self.promised: set[str] = set()

    async def run(self) -> Report:
        """Let it rage until there are so many events, wait until all is quiet, and compare the accounts.

        Raises:
            AssertionError: Something is lost, came out of nothing, or is out of order.
        """
        connection = await asyncpg.connect(self._connections.owner_url)
        self._harbour.start()
        try:
            await connection.execute(TABLES)
            endpoints = await self._endpoints()
            for name, number in (("worker", WORKERS), ("api", 1), ("receiver", 1), ("writer", WRITERS)):
                for _ in range(number):
                    self._start(name)
            began = monotonic_seconds()
            async with beside(self._call_for_ever(), name="calls"):
                await self._rage(connection)
            for writer in self._running["writer"]:
                self._fleet.kill(writer)
            ended = monotonic_seconds()
            await self._settle(connection)
            settled = monotonic_seconds()
            found = await self._compare(connection, endpoints)
            return Report(
                seconds=ended - began, settling_seconds=settled - ended, kills=dict(self.kills), **found
            )
        finally:
            await connection.close()
            self._harbour.stop()

    async def _endpoints(self) -> Mapping[str, UUID]:
        environ = {"MONOHULL_ENV": "test"} | {
            name: value for name, value in self._fleet.environ.items() if name.startswith("MONOHULL_")
        }
        environ |= {f"MONOHULL_{name.upper()}": value for name, value in SETTINGS.items()}
        loaded = load(environ, project=Path("/"))
        runtime = Runtime(loaded.settings, loaded.modules, self._connections, process="cli")
        url = f"http://127.0.0.1:{self._ports[1]}"
        quick: dict[str, Any] = {
            "timeout_seconds": 1, "breaker_failures": 10_000, "concurrency": 20, "max_attempts": None
        }  # fmt: skip
        rows = (RowSubscription(table="entries", operations=["INSERT"]),)
        wanted = [
            CreateEndpoint(name="plain", url=f"{url}/plain", events=("storm.*",), **quick),
            CreateEndpoint(
                name="ordered", url=f"{url}/ordered", events=("storm.*",), is_ordered=True, **quick
            ),
            CreateEndpoint(name="rows", url=f"{url}/rows", events=(), rows=rows, payload="database", **quick),
        ]
        async with runtime.running():
            made = [await build_endpoints(runtime).create(one, SYSTEM) for one in wanted]
            await self._harbour.make_sinks(runtime)
        return {one.endpoint.name: one.endpoint.id for one in made}

    def _start(self, name: str) -> None:
        program = [sys.executable, "-m", "tests.crash_jobs.storm"]
        match name:
            case "worker":
                started = self._fleet.start(**SETTINGS)
            case "api":
                command = [sys.executable, "-m", "monohull", "serve", "--port", str(self._ports[0])]
                started = self._fleet.run(command, **SETTINGS)
            case "receiver":
                started = self._fleet.run([*program, "receive", str(self._ports[1]), str(self._book)])
            case _:
                url = self._connections.owner_url
                started = self._fleet.run([*program, "write", url, str(self._pause_seconds)])
        self._running[name].append(started)

    async def _rage(self, connection: asyncpg.Connection) -> None:
        """Kill one of them now and then until there is enough; empty Redis in the middle."""
        deadline = monotonic_seconds() + PATIENCE_SECONDS + self._events / 2
        is_emptied = False
        names = ("worker", "writer", "receiver", "api", "redis", *self._harbour.names)
        turns: list[str] = []
        while (count := await self._entries(connection)) < self._events:
            assert monotonic_seconds() < deadline, f"{count} entries after {dict(self.kills)}"
            await asyncio.sleep(self._dice.uniform(0.3, 1.0))
            await self._go_on(connection, count)
            if not is_emptied and count > self._events / 2:
                await self._empty()
                is_emptied = True
                continue
            turns = turns or self._dice.sample(names, len(names))
            await self._kill(turns.pop())
        assert is_emptied
        assert all(self.kills[name] for name in names), self.kills

    async def _go_on(self, connection: asyncpg.Connection, count: int) -> None:
        """Let something happen before the next is killed: a slow machine takes seconds to start a process."""
        until = monotonic_seconds() + STARTING_SECONDS
        while monotonic_seconds() < until and await self._entries(connection) < count + STEP:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def _entries(self, connection: asyncpg.Connection) -> int:
        return int(await connection.fetchval("select count(*) from public.entries"))

    async def _kill(self, name: str) -> None:
        self.kills[name] += 1
        if name == "redis":
            if self._redis.pid is not None:
                os.kill(self._redis.pid, signal.SIGKILL)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(self._redis.start)
            return
        if name in self._harbour.names:
            self._harbour.kill(name)
            await asyncio.sleep(self._dice.uniform(0.1, 1.0))
            self._harbour.start_again(name)
            return
        victim = self._dice.choice(self._running[name])
        self._running[name].remove(victim)
        self._fleet.kill(victim)
        await asyncio.sleep(self._dice.uniform(0.0, 0.3))
        self._start(name)

    async def _empty(self) -> None:
        self.kills["flushall"] += 1
        client = open_redis(self._redis.url, name="storm", timeouts=PATIENT)
        await client.flushall()
        await close_redis(client)

    async def _call_for_ever(self) -> None:
        """Call the function over the API; every third is not waited for, every seventh is rolled back."""
        url = f"http://127.0.0.1:{self._ports[0]}/rest/v1/rpc/enter"
        headers = {"apikey": service_key(), "Authorization": f"Bearer {service_key()}"}
        number = 0
        async with httpx.AsyncClient(headers=headers, timeout=10, trust_env=False) as client:
            while True:
                number += 1
                mark, is_async = str(uuid4()), number % 3 == 0
                body = entry(number, mark) | {"fails": number % 7 == 0}
                wish = {"Prefer": "respond-async"} if is_async else {}
                try:
                    answer = await client.post(url, json=body, headers=wish)
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 200:
                    self.answered.add(mark)
                elif answer.status_code == 202 and not body["fails"]:
                    self.promised.add(mark)
                assert answer.status_code in (200, 202, 400, 429, 503), answer.text
                await asyncio.sleep(self._pause_seconds)

    async def _settle(self, connection: asyncpg.Connection) -> None:
        """Wait until everything was relayed, called and delivered."""
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        while not await connection.fetchval(SETTLED):
            assert monotonic_seconds() < deadline, [await connection.fetch(query) for query in WAITING]
            await asyncio.sleep(0.1)

    async def _compare(self, connection: asyncpg.Connection, endpoints: Mapping[str, UUID]) -> dict[str, int]:
        entries = await connection.fetch(
            "select mark::text, key, n, length(padding) > 1000 as is_large from public.entries"
        )
        large = {row["mark"] for row in entries if row["is_large"]}
        committed = Counter(row["mark"] for row in entries)
        lines = [msgspec.json.decode(line, type=Line) for line in whole_lines(self._book)]
        ids = {row["mark"]: row["id"] for row in await connection.fetch(IDS)}
        told = set(ids)
        assert max(committed.values()) == 1, "a function that nobody waited for took effect twice"
        assert self.answered <= committed.keys(), "acknowledged and not there"
        assert self.promised <= committed.keys(), "promised and never called"
        assert told <= committed.keys(), "an event of a transaction that was rolled back"
        wanted = {"plain": told, "ordered": told, "rows": set(committed)}
        distinct = dead = 0
        for name, marks in wanted.items():
            taken = [line for line in lines if line.path == f"/{name}"]
            check_taken(name, taken, marks - large)
            states = await connection.fetch(
                "select d.state, count(*) as number, count(distinct d.event_id) as events "
                "from monohull.webhook_deliveries as d where endpoint_id = $1 group by 1",
                endpoints[name],
            )
            ledger = {row["state"]: row["number"] for row in states}
            assert all(row["number"] == row["events"] for row in states)
            assert ledger.get("delivered", 0) == len({line.id for line in taken}), "the ledger's and theirs"
            assert ledger.get("dead", 0) == len(marks & large), "dead letters"
            distinct, dead = distinct + ledger.get("delivered", 0), dead + ledger.get("dead", 0)
        check_order([line for line in lines if line.path == "/ordered"])
        carried, events = await self._harbour.compare(connection, ids, set(committed))
        return {
            "committed": len(entries),
            "taken": len(lines),
            "distinct": distinct,
            "dead": dead,
            "carried": carried,
            "carried_distinct": events,
        }


def check_taken(name: str, taken: Sequence[Line], wanted: set[str]) -> None:
    """Compare what an endpoint took with what it was to be told of."""
    marks = {line.mark for line in taken}
    assert not wanted - marks, f"{name}: {len(wanted - marks)} of {len(wanted)} events are lost"
    assert not marks - wanted, f"{name}: {len(marks - wanted)} events of nothing that was committed"
    ids: dict[str, set[str]] = defaultdict(set)
    for line in taken:
        ids[line.mark].add(line.id)
    assert all(len(one) == 1 for one in ids.values()), f"{name}: an event came under two ids"


def check_order(taken: Sequence[Line]) -> None:
    """Look that nothing of a key came before all that was earlier had come."""
    seen: dict[int, int] = defaultdict(int)
    for line in taken:
        assert line.n >= seen[line.key], f"{line.key}: {line.n} after {seen[line.key]}"
        seen[line.key] = line.n


def entry(number: int, mark: str) -> dict[str, Any]:
    """Return an entry; every fortieth is too large for a webhook."""
    return {"key": number % KEYS, "mark": mark, "padding": LARGE if number % 40 == 7 else ""}


def whole_lines(book: Path) -> list[bytes]:
    """Return the lines; one that was being written when its receiver died is none."""
    return [line for line in book.read_bytes().split(b"\n") if line.endswith(b"]")]


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


async def receive(port: int, book: Path) -> None:
    """Write down what comes, and then say that it was taken."""
    descriptor = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {line.split(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:-2]}
                body = msgspec.json.decode(await reader.readexactly(int(headers["content-length"])))
                told = body["record"] if "record" in body else body["data"]
                path = head[0].split(" ")[1]
                line = Line(path, headers["webhook-id"], told["mark"], told["key"], told["n"])
                os.write(descriptor, msgspec.json.encode(line) + b"\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, reuse_address=True)
    await server.serve_forever()


class RolledBackError(Exception):
    """A writer changed its mind."""


async def write(url: str, pause_seconds: float) -> None:
    """Write entries and their events for ever; every sixth transaction is rolled back."""
    database = Database(url, pool_size=2)
    number = os.getpid()
    while True:
        number += 1
        mark = str(uuid4())
        with suppress(RolledBackError, Problem):
            async with database.unit_of_work() as work:
                connection = await work.connection()
                one = entry(number, mark)
                call = "select public.enter($1, $2, $3, false)"
                n = (await connection.exec_driver_sql(call, (one["key"], mark, one["padding"]))).scalar_one()
                event = Entered(key=one["key"], n=n, mark=mark, padding=one["padding"])
                await publish(work, event, key=str(one["key"]))
                if number % 6 == 0:
                    raise RolledBackError
        await asyncio.sleep(pause_seconds)


PROGRAMS: Final[Mapping[str, Callable[..., Any]]] = {
    "receive": lambda port, book: receive(int(port), Path(book)),
    "write": lambda url, pause: write(url, float(pause)),
}


if __name__ == "__main__":
    asyncio.run(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
