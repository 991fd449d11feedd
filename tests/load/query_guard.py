"""How soon the query guard refuses a filter without an index on a large table, and lets others pass.

    python -m tests.load.query_guard --rows 5000000

Starts servers of its own and fills a table. Each request of the first kind is new to the guard: it asks the
planner, and looks which index would help. The second kind it has seen. Exits with 1 when the slowest refusal
takes longer than the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.crypto import derive_password
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.home import Connections, with_login
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET, running_app
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.application import Served
    from tests.services import Services

LIMIT_MILLISECONDS: Final = 50.0
KINDS: Final = 60
TABLE: Final = """
    create table transfers (
        id bigint primary key, sender int not null, receiver int not null, note text, at timestamptz
    );
    insert into transfers
    select n, n % 100000, (n * 7) % 100000, 'note ' || n % 5000,
        '2026-01-01Z'::timestamptz + n * interval '1 second'
    from generate_series(1, {rows}) n;
    create index on transfers (sender);
    analyze transfers;
    comment on table transfers is '@public';
"""


async def ask(served: Served, queries: Sequence[str], status: int) -> list[float]:
    """Return how many milliseconds each took."""
    took = []
    for query in queries:
        began = monotonic_seconds()
        answer = await served.client.get(f"/rest/v1/transfers?{query}")
        took.append((monotonic_seconds() - began) * 1000)
        if answer.status_code != status:
            raise SystemExit(f"{query}: {answer.status_code} {answer.text[:300]}")
    return took


def tell(name: str, took: Sequence[float]) -> None:
    print(f"{name:<58} median {statistics.median(took):6.2f} ms  slowest {max(took):6.2f} ms")


async def measure(services: Services, rows: int) -> float:
    password = derive_password(JWT_SECRET, "authenticator")
    database = Database(services.postgres_url)
    try:
        await upgrade(database, login=Login(password, is_reset=True))
    finally:
        await database.close()
    owner = await asyncpg.connect(services.postgres_url)
    try:
        began = monotonic_seconds()
        await owner.execute(TABLE.format(rows=rows), timeout=900)
        size = await owner.fetchval("select pg_size_pretty(pg_total_relation_size('transfers'))")
        print(f"{rows} rows, {size}, filled in {monotonic_seconds() - began:.0f} s")
    finally:
        await owner.close()
    data_url = with_login(services.postgres_url, "authenticator", password)
    connections = Connections(Secret(services.postgres_url), Secret(data_url), Secret(services.redis_url))
    async with running_app(connections, rest_guard="anon:cost=20000") as served:
        await ask(served, ["id=eq.1"] * 20, 200)
        aliases = [f"a{number}" for number in range(KINDS)]
        new = await ask(served, [f"select={alias}:id&note=eq.none" for alias in aliases], 403)
        tell("a filter without an index, refused, a new kind each time", new)
        known = await ask(served, [f"select=a0:id&note=eq.{number}" for number in range(KINDS)], 403)
        tell("the same, of a kind that is known", known)
        indexed = await ask(served, [f"select={alias}:id&sender=eq.5" for alias in aliases], 200)
        tell("a filter with an index, answered, a new kind each time", indexed)
        again = await ask(served, [f"select=a0:id&sender=eq.{number}" for number in range(KINDS)], 200)
        tell("the same, of a kind that is known", again)
    async with running_app(connections) as served:
        await ask(served, ["id=eq.1"] * 20, 200)
        without = await ask(served, [f"select=a0:id&sender=eq.{number}" for number in range(KINDS)], 200)
        tell("the same without a guard", without)
        tell(
            "the filter without an index, without a guard",
            await ask(served, ["select=id&note=eq.none"] * 3, 200),
        )
    return max(new + known)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--limit", type=float, default=LIMIT_MILLISECONDS, help="in milliseconds")
    given = parser.parse_args()
    services = start_services(Path(tempfile.mkdtemp(prefix="query-guard-")))
    try:
        slowest = asyncio.run(measure(services, given.rows))
    finally:
        services.stop()
    return 0 if slowest < given.limit else 1


if __name__ == "__main__":
    sys.exit(main())
