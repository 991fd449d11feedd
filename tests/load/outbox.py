"""What row events cost those who write, and how many events a relay hands on in a second.

    python -m tests.load.outbox [--seconds 2] [--rounds 5] [--only alone|sql|api|relay]

Starts servers of its own: one that does not wait for the disk, where a commit
costs next to nothing and the share of the events is the largest it can be, and
one that does. Rows go into three tables by turns, 1, 10 and 1,000 a statement:

- ``plain``: nobody watches it.
- ``watched``: a watcher without a filter; a worker runs beside, and relays.
- ``minimal``: a trigger written by hand, once a statement, that keeps the rows
  as one jsonb and says nothing to anybody. No trigger that keeps rows is cheaper by much.

With pgbench, without a worker (``alone``; nobody is notified) and with one, and
by ``POST`` through an API process with wrk. What counts is the
median of the rounds' ratios to plain, so that a machine whose load changes is as
slow for one as for the others. Last, events are relayed with three subscribers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.engine import Database
from monohull.kernel.dispatch import relay_events, relay_rows
from monohull.kernel.embedded import EmbeddedPostgres, EmbeddedRedis, discard, new_password
from monohull.kernel.events import EventRegistry, Subscriber
from monohull.kernel.feed import read_feed
from monohull.kernel.keys import legacy_key
from monohull.kernel.rows import watch
from monohull.kernel.vigil import LOCK
from tests.load.instance import JWT_SECRET, PROGRAMS, environment, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from monohull.kernel.events import Envelope
    from tests.load.instance import Instance

WRITERS: Final = 8
SIZES: Final = (1, 10, 1000)
TABLES: Final = ("plain", "watched", "minimal")
COLUMNS: Final = (
    "id bigint generated always as identity primary key, customer int, status text, total numeric, note text"
)
MINIMAL: Final = """
    create table public.kept (position bigint generated always as identity primary key, rows jsonb);
    create function public.keep() returns trigger language plpgsql security definer as $$ begin
        insert into public.kept (rows) select jsonb_agg(to_jsonb(i)) from inserted as i;
        return null;
    end $$;
    create trigger keep after insert on public.minimal referencing new table as inserted
        for each statement execute function public.keep();
"""
INSERT: Final = (
    "insert into public.{} (customer, status, total, note) "
    "select n, 'new', n * 1.5, repeat('x', 100) from generate_series(1, {}) as n"
)
TABLE: Final = "create table public.{0} ({1}); grant all on public.{0} to service_role;"
DATA: Final = """
    create table public.products (id int primary key);
    grant select on public.products to anon;
"""
"""What the API is asked for when it starts."""
EMPTY: Final = "truncate public.plain, public.watched, public.minimal, public.kept"
WAITING: Final = "select exists (select from monohull.row_changes)"
LUA: Final = """
wrk.method = "POST"
wrk.body = {body}
wrk.path = "/rest/v1/{table}"
wrk.headers["apikey"] = "{key}"
wrk.headers["Authorization"] = "Bearer {key}"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Prefer"] = "return=minimal"
function done(summary, latency)
  local seconds = summary.duration / 1e6
  io.stderr:write(string.format("%d %f %d\\n", summary.requests, seconds, summary.errors.status))
end
"""


async def hear(_: Any, __: Envelope) -> None:
    """Stand for a subscriber; nobody delivers here."""


async def watch_one(url: str) -> None:
    database = Database(url)
    async with database.running(), database.unit_of_work() as session:
        await watch(session, watcher="load:1", relation=("public", "watched"))


@contextmanager
def worker(url: str, redis_url: str, folder: Path) -> Iterator[None]:
    """Run a worker, which relays, for the length of the block."""
    environ = environment(url, redis_url, folder) | {"MONOHULL_LOG_LEVEL": "error"}
    process = subprocess.Popen(
        [sys.executable, "-m", "saq", "monohull.worker.settings"],
        env=environ,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def vigil(url: str) -> Iterator[None]:
    """Hold the lock that a relay at work holds, without one."""
    command = [str(PROGRAMS / "psql"), "-qXAt", url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"select pg_try_advisory_lock({LOCK});\n")
    process.stdin.flush()
    process.stdout.readline()
    try:
        yield
    finally:
        process.communicate()


async def settle(url: str, *, is_relayed: bool) -> None:
    """Empty the tables, once the relay has caught up, so that it works for nobody else's round."""
    database = Database(url)
    async with database.running(), database.connection() as connection:
        if not is_relayed:
            await connection.execute("truncate monohull.row_changes")
        async with asyncio.timeout(120):
            while await connection.fetchval(WAITING):  # noqa: ASYNC110 another process
                await asyncio.sleep(0.05)
        await connection.execute(EMPTY)


def by_sql(url: str, table: str, size: int, seconds: float) -> float:
    """Return rows in a second by pgbench, each statement a transaction."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(INSERT.format(table, size))
        script.flush()
        command = [str(PROGRAMS / "pgbench"), "-n", "-M", "prepared", "-c", str(WRITERS), "-j", "1"]
        done = subprocess.run(
            [*command, "-T", str(round(seconds)), "-f", script.name, url],
            check=True,
            capture_output=True,
            text=True,
        )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("tps")]
    return float(line.split()[2]) * size


def by_api(instance: Instance, table: str, size: int, seconds: float) -> float:
    """Return rows in a second by POST."""
    if (wrk := shutil.which("wrk")) is None:
        raise SystemExit("POST is measured with wrk, which is not installed")
    rows = [{"customer": n, "status": "new", "total": n * 1.5, "note": "x" * 100} for n in range(size)]
    body = json.dumps(rows if size > 1 else rows[0], separators=(",", ":"))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        key = legacy_key(JWT_SECRET, "service_role")
        script.write(LUA.format(body=json.dumps(body), table=table, key=key))
        script.flush()
        command = [wrk, "-t", "1", "-c", str(WRITERS), "-d", f"{round(seconds)}s", "-s", script.name]
        done = subprocess.run([*command, instance.url], check=True, capture_output=True, text=True)
    requests, took, refused = done.stderr.split()[-3:]
    if int(refused):
        raise SystemExit(f"{refused} of {requests} requests were refused")
    return int(requests) * size / float(took)


def compare(
    what: str,
    write: Callable[[str, int, float], float],
    url: str,
    options: argparse.Namespace,
    *,
    is_relayed: bool,
) -> None:
    """Let the tables take turns, and print the medians."""
    for size in options.sizes:
        taken: dict[str, list[float]] = {table: [] for table in TABLES}
        for table in TABLES:
            write(table, size, 1.0)
        for _ in range(options.rounds):
            for table in TABLES:
                asyncio.run(settle(url, is_relayed=is_relayed))
                taken[table].append(write(table, size, options.seconds))
        line = f"{what}, {size:4} rows a statement: {statistics.median(taken['plain']):8.0f} rows/s plain"
        for table in TABLES[1:]:
            ratios = [a / b for a, b in zip(taken[table], taken["plain"], strict=True)]
            line += f", {statistics.median(taken[table]):8.0f} {table} ({statistics.median(ratios):.2f})"
        print(line, flush=True)


def measure(postgres: EmbeddedPostgres, redis_url: str, folder: Path, options: argparse.Namespace) -> None:
    """Measure on one server: what the writing alone costs, and with a worker on the same processors."""
    url, disk = postgres.url, "the disk waited for" if postgres.durable else "the disk not waited for"
    tables = folder / "tables.sql"
    tables.write_text(DATA + "".join(TABLE.format(table, COLUMNS) for table in TABLES) + MINIMAL)
    with serving(url, redis_url, data_set=tables) as instance:
        asyncio.run(watch_one(url))
        sql = partial(by_sql, url)
        if options.only in {None, "alone"}:
            with vigil(url):
                compare(f"SQL, {disk}, no worker", sql, url, options, is_relayed=False)
        with worker(url, redis_url, folder) if options.only in {None, "sql", "api"} else nullcontext():
            if options.only in {None, "sql"}:
                compare(f"SQL, {disk}", sql, url, options, is_relayed=True)
            if options.only in {None, "api"}:
                compare(f"POST, {disk}", partial(by_api, instance), url, options, is_relayed=True)
    if options.only in {None, "relay"} and not postgres.durable:
        asyncio.run(measure_relay(url))


async def measure_relay(url: str) -> None:
    subscribers = [Subscriber(name=f"load.{n}", events=("rows.*",), handle=hear) for n in range(3)]
    database = Database(url)
    async with database.running(), database.connection() as connection:
        for registry, what in ((EventRegistry(), "none"), (EventRegistry(subscribers=subscribers), "three")):
            for size in SIZES:
                await connection.execute(
                    "truncate monohull.outbox, monohull.row_changes, monohull.jobs cascade"
                )
                for _ in range(max(1, 20_000 // size) if size > 1 else 5000):
                    await connection.execute(INSERT.format("watched", size))
                await connection.execute("vacuum analyze monohull.row_changes")
                began, relayed = monotonic_seconds(), 0
                while count := await relay_rows(connection, registry) or await relay_events(
                    connection, registry
                ):
                    relayed += count
                seconds = monotonic_seconds() - began
                print(
                    f"relayed, {what} subscribers, {size} rows a statement: {relayed / seconds:.0f} events/s"
                )
        after: int = await connection.fetchval("select min(sequence) - 1 from monohull.outbox")
        began, read = monotonic_seconds(), 0
        while events := await read_feed(connection, after=after):
            after, read = events[-1].sequence, read + len(events)
        print(f"read from the feed: {read / (monotonic_seconds() - began):.0f} events/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("alone", "sql", "api", "relay"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows a statement")
    parser.add_argument(
        "--disk", choices=("yes", "no"), help="only the server that waits for it, or does not"
    )
    options = parser.parse_args()
    for durable in (False, True):
        if options.disk == ("no" if durable else "yes"):
            continue
        with tempfile.TemporaryDirectory(prefix="monohull-load-") as name:
            folder = Path(name)
            postgres = EmbeddedPostgres(folder, password=new_password(), durable=durable)
            redis = EmbeddedRedis(folder, password=new_password(), durable=False)
            try:
                postgres.start()
                redis.start()
                measure(postgres, redis.url, folder, options)
            finally:
                redis.stop()
                postgres.stop()
                discard(folder)


if __name__ == "__main__":
    main()
