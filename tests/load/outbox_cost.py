"""What row events cost those who write, and how many events a relay hands on in a second.

    python -m tests.load.outbox_cost [--seconds 4] [--rounds 3]

Starts a PostgreSQL of its own. Writers insert rows into a table that nobody
watches and into one that is watched, by turns, so that a machine whose load
changes is as slow for one as for the other; the median of the rounds' ratios
counts. Then the events that came of it are relayed with three subscribers.

The server is that of the tests and does not wait for the disk. A commit costs
next to nothing there, so the share of the events is the largest it can be.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.dispatch import relay_events
from monohull.kernel.events import EventRegistry, Subscriber
from monohull.kernel.feed import read_feed
from monohull.kernel.rows import watch
from tests.services import start_services

if TYPE_CHECKING:
    from typing import Any

    from monohull.kernel.events import Envelope

WRITERS: Final = 8
SIZES: Final = (1, 10, 1000)
COLUMNS: Final = (
    "id bigint generated always as identity primary key, customer int, status text, total numeric, note text"
)
INSERT: Final = (
    "insert into public.{} (customer, status, total, note) "
    "select n, 'new', n * 1.5, repeat('x', 100) from generate_series(1, {}) as n"
)


async def hear(_: Any, __: Envelope) -> None:
    """Stand for a subscriber; nobody delivers here."""


async def rows_per_second(database: Database, table: str, size: int, seconds: float) -> float:
    """Insert ``size`` rows a statement and transaction with all writers; return rows a second."""
    until = monotonic_seconds() + seconds

    async def write() -> int:
        written = 0
        async with database.connection() as connection:
            statement = await connection.prepare(INSERT.format(table, size))
            while monotonic_seconds() < until:
                await statement.fetch()
                written += size
        return written

    began = monotonic_seconds()
    written = sum(await asyncio.gather(*(write() for _ in range(WRITERS))))
    return written / (monotonic_seconds() - began)


async def measure_writers(database: Database, seconds: float, rounds: int) -> None:
    for size in SIZES:
        ratios = []
        for _ in range(rounds):
            plain = await rows_per_second(database, "plain", size, seconds)
            watched = await rows_per_second(database, "watched", size, seconds)
            ratios.append(watched / plain)
            print(f"{size:5} rows a statement: {plain:9.0f} rows/s plain, {watched:9.0f} watched")
        print(f"{size:5} rows a statement: ratio {statistics.median(ratios):.2f}")


async def measure_relay(database: Database, most: int) -> None:
    subscribers = [Subscriber(name=f"load.{n}", events=("rows.*",), handle=hear) for n in range(3)]
    async with database.connection() as connection:
        await connection.execute("delete from monohull.outbox where position > $1", most)
        for registry, what in ((EventRegistry(), "none"), (EventRegistry(subscribers=subscribers), "three")):
            await connection.execute("update monohull.outbox set sequence = null where sequence is not null")
            await connection.execute("vacuum analyze monohull.outbox")
            began, relayed = monotonic_seconds(), 0
            while count := await relay_events(connection, registry):
                relayed += count
            seconds = monotonic_seconds() - began
            print(f"relayed, {what} subscribers: {relayed / seconds:.0f} events/s")
        after: int = await connection.fetchval("select min(sequence) - 1 from monohull.outbox")
        began, read = monotonic_seconds(), 0
        while events := await read_feed(connection, after=after):
            after, read = events[-1].sequence, read + len(events)
        print(f"read from the feed: {read / (monotonic_seconds() - began):.0f} events/s")


async def main(seconds: float, rounds: int, most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        services = start_services(Path(folder))
        try:
            database = Database(services.postgres_url)
            async with database.running():
                await upgrade(database, Login("outbox-cost-1234567890", is_reset=True))
                async with database.connection() as connection:
                    for table in ("plain", "watched"):
                        await connection.execute(f"create table public.{table} ({COLUMNS})")
                async with database.unit_of_work() as session:
                    await watch(session, watcher="load:1", relation=("public", "watched"))
                await measure_writers(database, seconds, rounds)
                await measure_relay(database, most)
        finally:
            services.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=20_000, help="how many are relayed")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.seconds, arguments.rounds, arguments.events))
