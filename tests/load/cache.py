"""What the response cache saves: anonymous reads as in workloads a and f, with their tables cached and not.

    python -m tests.load.cache --rounds 5 --seconds 2

Both sides take turns on one process, over the same hundred addresses. Beside requests a second stands the
processor time that the process and PostgreSQL used for one, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from monohull.kernel.home import by_socket
from tests.load.generator import CONNECTIONS, HERE, _answer, _get
from tests.load.instance import serving
from tests.load.refresh import server_seconds
from tests.load.run import cpu_seconds, psql
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.load.instance import Instance

GOAL: Final = 1.5
ADDRESSES: Final = 100
SETTLE_SECONDS: Final = 2.0
WORKLOADS: Final[dict[str, tuple[str, Callable[[], str]]]] = {
    "a": ("products", lambda: f"products?id=eq.{random.randint(1, ADDRESSES)}"),
    "f": (
        "order_items",
        lambda: f"order_items?id=gt.{5_000 * random.randint(1, ADDRESSES)}&order=id.asc&limit=100",
    ),
}
MARK: Final = (
    "create trigger monohull_cache after insert or update or delete or truncate on {0} "
    "for each statement execute function monohull.tell_of_rows('86400'); "
    "alter table {0} enable always trigger monohull_cache; notify pgrst, 'reload schema'"
)
UNMARK: Final = "drop trigger monohull_cache on {0}; notify pgrst, 'reload schema'"


class Sample(msgspec.Struct, frozen=True):
    """One side, once."""

    per_second: float
    cpu_us: float


def drive(instance: Instance, workload: str, seconds: float) -> int:
    """Ask as fast as it is answered; return how many times."""
    if (wrk := shutil.which("wrk")) is None:
        return asyncio.run(ask(instance, WORKLOADS[workload][1], seconds))
    command = [wrk, "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds:.0f}s", "-s", str(HERE / "cache.lua")]
    done = subprocess.run(
        [*command, instance.url],
        env={**os.environ, "WORKLOAD": workload, "APIKEY": instance.apikey},
        check=True,
        capture_output=True,
        text=True,
    )
    requests, refused = map(int, done.stderr.split())
    if refused:
        raise RuntimeError("refused")
    return requests


async def ask(instance: Instance, make: Callable[[], str], seconds: float) -> int:
    """Ask as fast as it is answered; return how many times.

    Raises:
        RuntimeError: Something was refused.
    """
    host, port = urlsplit(instance.url).hostname, urlsplit(instance.url).port
    until, done = time.monotonic() + seconds, 0

    async def connection() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection(host, port)
        while time.monotonic() < until:
            writer.write(_get(make(), instance.apikey))
            if await _answer(reader) != 200:
                raise RuntimeError("refused")
            done += 1
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return done


def sample(instance: Instance, workload: str, seconds: float) -> Sample:
    drive(instance, workload, SETTLE_SECONDS)  # until it is known, and kept
    before, began = cpu_seconds(instance.pid) + server_seconds(), time.monotonic()
    done = drive(instance, workload, seconds)
    spent, took = cpu_seconds(instance.pid) + server_seconds() - before, time.monotonic() - began
    return Sample(done / took, 1e6 * spent / done)


def measure(instance: Instance, url: str, workload: str, rounds: int, seconds: float) -> float:
    """Print both sides of a workload; return the ratio of their medians in requests a second."""
    table, _ = WORKLOADS[workload]
    plain, cached = [], []
    for _ in range(rounds):
        plain.append(sample(instance, workload, seconds))
        psql(url, MARK.format(table))
        cached.append(sample(instance, workload, seconds))
        psql(url, UNMARK.format(table))
        time.sleep(1.0)
    sides = [
        (median(one.per_second for one in side), median(one.cpu_us for one in side))
        for side in (plain, cached)
    ]
    (slow, slow_us), (fast, fast_us) = sides
    print(
        f"| {workload} | {slow:.0f} | {fast:.0f} | {fast / slow:.2f} | {slow_us:.0f} | {fast_us:.0f} "
        f"| {slow_us / fast_us:.2f} | {os.getloadavg()[0]:.1f} |",
        flush=True,
    )
    return fast / slow


def main() -> int:
    """Measure and print; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one sample")
    arguments = parser.parse_args()
    os.environ.pop("PGOPTIONS", None)
    with tempfile.TemporaryDirectory(prefix="monohull-load-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        services = start_services(Path(folder))
        try:
            url = urlsplit(services.postgres_url)._replace(path="/load").geturl()
            url = by_socket(url, Path(folder) / "sockets")
            psql(services.postgres_url, "create database load")
            with serving(url, services.redis_url, data_set=HERE / "dataset.sql") as instance:
                print("| workload | req/s | cached | ratio | CPU µs | cached | ratio | load average |")
                print("|---|---|---|---|---|---|---|---|", flush=True)
                ratios = [
                    measure(instance, url, workload, arguments.rounds, arguments.seconds)
                    for workload in WORKLOADS
                ]
        finally:
            services.stop()
    return 0 if min(ratios) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
