"""What slow and hostile clients do to everybody else: the 95th percentile, calm and under each attack.

    make load OF=hostile
    python -m tests.load.hostile --seconds 10 --attacks idle,slow_head

An ordinary client, with a new connection for each request, asks for a row 20
times a second. Under attack its 95th percentile may be three times the calm
one. That memory stays bounded is in the suite (tests/fuzz/test_connections.py).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
import psutil

from tests.load.generator import HERE
from tests.load.hostile_clients import CLIENTS, Target, attacking
from tests.load.instance import serving
from tests.load.run import psql
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.instance import Instance

TIMES: Final = 3.0
PAUSE_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 10.0
NOTES: Final = (
    "create table notes (id bigint primary key, text text not null)",
    "insert into notes select n, repeat('x', 1000) from generate_series(1, 10000) n",
    "comment on table notes is '@public'",
    "grant select, insert on notes to anon",
)


class Result(msgspec.Struct, frozen=True):
    """One attack; ``load`` is the machine's load average beside."""

    attack: str
    clients: int
    answers: int
    refused: int
    p50_ms: float
    p95_ms: float
    times_calm: float
    memory_mib: float
    load: float


async def ordinary(target: Target, seconds: float) -> tuple[list[float], int]:
    """Ask for a row again and again; return how long each answer took, and how many were none."""
    took, refused = [], 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection(target.host, target.port)
                writer.write(target.head("GET", "?id=eq.7", "Connection: close"))
                refused += not (await reader.read()).startswith(b"HTTP/1.1 200 ")
                writer.close()
        except (OSError, TimeoutError):
            refused += 1
        took.append(time.monotonic() - began)
        await asyncio.sleep(PAUSE_SECONDS)
    return took, refused


def memory_mib(pid: int) -> float:
    root = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (root, *root.children(recursive=True))) / 2**20


async def measure(instance: Instance, attacks: Sequence[str], seconds: float) -> list[Result]:
    """Measure calm, and then each attack."""
    host, port = urlsplit(instance.url).hostname or "", urlsplit(instance.url).port or 80
    target = Target(host, port, instance.apikey, "notes")
    await ordinary(target, 2)
    results: list[Result] = []
    for attack in ("calm", *attacks):
        async with attacking(target, *([] if attack == "calm" else [attack])):
            await asyncio.sleep(1)
            took, refused = await ordinary(target, seconds)
        cuts = [1000 * cut for cut in quantiles(took, n=100)]
        results.append(
            Result(
                attack=attack,
                clients=0 if attack == "calm" else CLIENTS[attack][1],
                answers=len(took),
                refused=refused,
                p50_ms=round(cuts[49], 1),
                p95_ms=round(cuts[94], 1),
                times_calm=round(cuts[94] / results[0].p95_ms, 1) if results else 1.0,
                memory_mib=round(memory_mib(instance.pid)),
                load=round(os.getloadavg()[0], 1),
            )
        )
    return results


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attacks", default=",".join(CLIENTS))
    parser.add_argument("--seconds", type=float, default=8, help="of each attack, 60 at most")
    parser.add_argument("--out", type=Path, default=Path("load.json"))
    arguments = parser.parse_args()
    options = {"MONOHULL_REST_MAX_ROWS": "100000"}
    with tempfile.TemporaryDirectory(prefix="monohull-load-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        services = start_services(Path(folder))
        try:
            url = urlsplit(services.postgres_url)._replace(path="/load").geturl()
            psql(services.postgres_url, "create database load")
            with serving(url, services.redis_url, data_set=HERE / "dataset.sql", options=options) as instance:
                psql(url, *NOTES)
                attacks = arguments.attacks.split(",")
                results = asyncio.run(measure(instance, attacks, min(arguments.seconds, 60)))
        finally:
            services.stop()
    print("\n| attack | clients | answers | refused | p50 ms | p95 ms | times calm | MiB | load |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in results:
        print(
            f"| {one.attack} | {one.clients} | {one.answers} | {one.refused} | {one.p50_ms} | {one.p95_ms} "
            f"| {one.times_calm} | {one.memory_mib:.0f} | {one.load} |"
        )
    arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    return int(any(one.refused or one.times_calm > TIMES for one in results))


if __name__ == "__main__":
    sys.exit(main())
