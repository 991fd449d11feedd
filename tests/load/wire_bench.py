"""One row by key under a role and claims: asyncpg in four round trips, and a data request in one.

    python -m tests.load.wire_bench postgresql://superuser:password@127.0.0.1:5432/postgres [--seconds 2]

Creates the database ``dev_c_bench``, and drops it in the end. Samples of both
ways are interleaved; medians are printed. With ``--workers 1`` requests follow
each other, so the figure is the latency; with more it is the throughput.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import uvloop

from monohull.kernel.database.data import DataPool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DATABASE: Final = "dev_c_bench"
SIZE: Final = 10
CLAIMS: Final = json.dumps({"sub": "0b7e9e4e-0000-4000-8000-000000000001", "role": "dev_c_reader"})
QUERY: Final = (
    "select coalesce(json_agg(t), '[]')::text from (select id, name, price from items where id = $1) t"
)
SETTINGS: Final = (
    ("search_path", '"public"'),
    ("transaction_read_only", "on"),
    ("statement_timeout", "8000"),
    ("request.method", "GET"),
    ("request.path", "/items"),
    ("request.headers", '{"host":"127.0.0.1:8000","accept":"application/json","user-agent":"bench"}'),
    ("request.cookies", "{}"),
    ("request.jwt.claims", CLAIMS),
    ("role", "dev_c_reader"),
)
SET_CONFIG: Final = "select " + ",".join(
    f"set_config('{name}', ${at}, true)" for at, (name, _) in enumerate(SETTINGS, 1)
)
VALUES: Final = tuple(value for _, value in SETTINGS)


async def prepare(url: str) -> str:
    """Make the database and return its address."""
    server = await asyncpg.connect(url)
    await server.execute(f"drop database if exists {DATABASE} with (force)")
    await server.execute(f"create database {DATABASE}")
    await server.close()
    own = f"{url.rsplit('/', 1)[0]}/{DATABASE}"
    connection = await asyncpg.connect(own)
    await connection.execute(
        "do $$ begin if to_regrole('dev_c_reader') is null then create role dev_c_reader; end if; end $$;"
        "create table items (id int primary key, name text, price numeric);"
        "insert into items select g, 'item ' || g, g from generate_series(1, 10000) g;"
        "grant select on items to dev_c_reader; analyze items"
    )
    await connection.close()
    return own


async def remove(url: str) -> None:
    server = await asyncpg.connect(url)
    await server.execute(f"drop database {DATABASE} with (force)")
    await server.execute("drop role if exists dev_c_reader")
    await server.close()


def four_round_trips(pool: asyncpg.Pool[Any]) -> Callable[[int], Awaitable[object]]:
    """Return a request as most Python back ends write it."""

    async def request(key: int) -> object:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(SET_CONFIG, *VALUES)
            return await connection.fetchval(QUERY, key)

    return request


def one_round_trip(pool: DataPool) -> Callable[[int], Awaitable[object]]:
    """Return the same request on the data pool."""

    async def request(key: int) -> object:
        rows = await pool.run(QUERY, (str(key),), settings=SETTINGS, key="items by key, dev_c_reader")
        return rows.rows[0][0]

    return request


async def sample(
    request: Callable[[int], Awaitable[object]], workers: int, seconds: float
) -> tuple[float, float]:
    """Return requests per second and processor microseconds per request of this process."""
    until, done = perf_counter() + seconds, 0

    async def work(key: int) -> None:
        nonlocal done
        while perf_counter() < until:
            key = key % 10_000 + 1
            await request(key)
            done += 1

    since, cpu = perf_counter(), process_time()
    await asyncio.gather(*(work(number * 777) for number in range(workers)))
    return done / (perf_counter() - since), (process_time() - cpu) / done * 1e6


async def main(url: str, seconds: float, rounds: int) -> None:
    own = await prepare(url)
    theirs = await asyncpg.create_pool(own, min_size=SIZE, max_size=SIZE)
    ours = DataPool(own, size=SIZE, timeout_seconds=10)
    async with ours.running():
        ways = {
            "asyncpg, 4 round trips": four_round_trips(theirs),
            "data request, 1 round trip": one_round_trip(ours),
        }
        for workers in (1, 32):
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, request in ways.items():
                    found[name].append(await sample(request, workers, seconds))
            rates = {name: median(rate for rate, _ in samples) for name, samples in found.items()}
            base = rates["asyncpg, 4 round trips"]
            for name, samples in found.items():
                cpu = median(micros for _, micros in samples)
                print(
                    f"{workers:3} workers  {name:28} {rates[name]:9.0f}/s  {rates[name] / base:5.2f}x"
                    f"  {1e6 * min(workers, SIZE) / rates[name]:7.0f} us each  {cpu:6.1f} us own CPU"
                )
    await theirs.close()
    await remove(url)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    uvloop.run(main(options.url, options.seconds, options.rounds))
