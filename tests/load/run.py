"""How near the data API comes to the database: workloads a…f beside pgbench with the same statements.

    make load                                        # embedded servers, all workloads
    python -m tests.load.run --workloads a,b --rounds 5 --out result.json

Samples of API and pgbench take turns in random order, medians count. What is
compared with the baseline is the share of pgbench's figure, for the machine
cancels out of it; processor time per request is the steadier second figure.

    a one product by key    b 20 of a tenant's orders     c one order with items and products
    d insert one event      e insert 1000 in one body     f the next 100 rows after a key
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
import psutil

from monohull.kernel.home import by_socket
from tests.load.generator import HERE, drive, write_tokens
from tests.load.instance import PROGRAMS, Instance, serving
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Sequence

BASELINE: Final = HERE / "baseline.json"
TARGETS: Final = {"a": 0.30, "b": 0.38, "c": 0.40, "d": 0.33, "e": 0.9, "f": 0.40}
TOLERANCE: Final = 0.7
"""Samples are short and the machine may be busy: this much of the baseline's share must be there."""


class Result(msgspec.Struct, frozen=True):
    """Medians of one workload.

    Attributes:
        share: Of the requests per second that pgbench reaches with the same statements in one pipeline.
        limit_per_second: pgbench's figure.
        cpu_us: Processor time of the API process per request.
    """

    workload: str
    share: float
    per_second: float
    limit_per_second: float
    cpu_us: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    refused: int
    broken: int


class Round(msgspec.Struct):
    """The samples of one workload."""

    limits: list[float] = []
    found: list[dict[str, float]] = []


def measure(
    instance: Instance, database_url: str, workloads: Sequence[str], *, rounds: int, seconds: int
) -> list[Result]:
    """Take turns and return the medians."""
    samples = {workload: Round() for workload in workloads}
    with tempfile.TemporaryDirectory(prefix="monohull-load-") as folder:
        tokens = Path(folder) / "tokens"
        write_tokens(tokens)
        for workload in workloads:
            drive(instance, workload, tokens, 1)  # warm
        for _ in range(rounds):
            for workload, is_limit in shuffled(workloads):
                psql(database_url, "truncate events") if workload in "de" else None
                if is_limit:
                    samples[workload].limits.append(limit(database_url, workload, seconds))
                else:
                    samples[workload].found.append(sample(instance, workload, tokens, seconds))
    return [summarize(workload, taken) for workload, taken in samples.items()]


def shuffled(workloads: Sequence[str]) -> list[tuple[str, bool]]:
    """Return each workload with both sides next to each other, in random order."""
    order = []
    for workload in random.sample(list(workloads), len(workloads)):
        order += random.sample([(workload, True), (workload, False)], 2)
    return order


def sample(instance: Instance, workload: str, tokens: Path, seconds: int) -> dict[str, float]:
    """Run the workload once; with the processor time that the process used."""
    before = cpu_seconds(instance.pid)
    taken = drive(instance, workload, tokens, seconds)
    used = cpu_seconds(instance.pid) - before
    return {**msgspec.structs.asdict(taken), "cpu_us": 1e6 * used / max(taken.requests, 1)}


def limit(database_url: str, workload: str, seconds: int) -> float:
    """Return the transactions per second of pgbench with the workload's statements."""
    command = [str(PROGRAMS / "pgbench"), "-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", str(seconds)]
    script = HERE / "limits" / f"{workload}.sql"
    done = subprocess.run(
        [*command, "-f", str(script), database_url], check=True, capture_output=True, text=True
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("tps")]
    return float(line.split()[2])


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its children."""
    root = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (root, *root.children(recursive=True)))


def psql(database_url: str, *commands: str) -> None:
    arguments = [item for command in commands for item in ("-c", command)]
    subprocess.run(
        [str(PROGRAMS / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", *arguments, database_url], check=True
    )


def summarize(workload: str, taken: Round) -> Result:
    """Return the medians of a workload's samples."""
    middle = {name: median(one[name] for one in taken.found) for name in taken.found[0]}
    most = median(taken.limits)
    return Result(
        workload,
        share=round(middle["per_second"] / most, 3),
        per_second=round(middle["per_second"]),
        limit_per_second=round(most),
        cpu_us=round(middle["cpu_us"], 1),
        p50_ms=round(middle["p50_ms"], 2),
        p95_ms=round(middle["p95_ms"], 2),
        p99_ms=round(middle["p99_ms"], 2),
        refused=int(sum(one["refused"] for one in taken.found)),
        broken=int(sum(one["broken"] for one in taken.found)),
    )


def report(results: Sequence[Result]) -> None:
    """Print the table."""
    print("\n| workload | req/s | pgbench | share | goal | CPU µs | p50 ms | p95 | p99 | refused | broken |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for one in results:
        print(
            f"| {one.workload} | {one.per_second} | {one.limit_per_second} | {one.share:.3f} "
            f"| {TARGETS[one.workload]:.2f} | {one.cpu_us} | {one.p50_ms} | {one.p95_ms} | {one.p99_ms} "
            f"| {one.refused} | {one.broken} |"
        )


def judge(results: Sequence[Result], baseline: Path) -> list[str]:
    """Return what is worse than the baseline, by more than noise."""
    known = {one.workload: one for one in msgspec.json.decode(baseline.read_bytes(), type=list[Result])}
    complaints = []
    for one in results:
        if one.refused or one.broken:
            complaints.append(f"{one.workload}: {one.refused} refused, {one.broken} broken")
        before = known.get(one.workload)
        if before is not None and one.share < TOLERANCE * before.share:
            complaints.append(f"{one.workload}: share {one.share:.3f}, the baseline has {before.share:.3f}")
    return complaints


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", default="a,b,c,d,e,f")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of one sample; wrk takes no fractions")
    parser.add_argument("--out", type=Path, default=Path("load.json"))
    parser.add_argument("--tcp", action="store_true", help="reach PostgreSQL by TCP and not by its socket")
    parser.add_argument("--record", action="store_true", help="make this run the baseline")
    arguments = parser.parse_args()
    os.environ.pop("PGOPTIONS", None)
    with tempfile.TemporaryDirectory(prefix="monohull-load-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        services = start_services(Path(folder))
        try:
            url = urlsplit(services.postgres_url)._replace(path="/load").geturl()
            url = url if arguments.tcp else by_socket(url, Path(folder) / "sockets")
            psql(services.postgres_url, "create database load")
            with serving(url, services.redis_url, data_set=HERE / "dataset.sql") as instance:
                results = measure(
                    instance,
                    url,
                    arguments.workloads.split(","),
                    rounds=arguments.rounds,
                    seconds=arguments.seconds,
                )
        finally:
            services.stop()
    report(results)
    document = msgspec.json.format(msgspec.json.encode(results), indent=1)
    arguments.out.write_bytes(document)
    if arguments.record:
        BASELINE.write_bytes(document + b"\n")
    complaints = judge(results, BASELINE) if BASELINE.exists() else []
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
