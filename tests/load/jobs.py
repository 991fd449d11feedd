"""How many jobs that do nothing one worker runs in a second, from asking to done, beside plain SAQ.

    make load OF=jobs
    python -m tests.load.jobs [--jobs 5000] [--rounds 3]

Both use one Redis and one worker process with the same concurrency; ours writes
each step to PostgreSQL too. Rounds take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from saq.queue.redis import RedisQueue

from monohull.kernel.batches import Call, enqueue_batch
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from tests.load.noop.module import run
from tests.load.noop.plain import QUEUE
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services import Services

CONCURRENCY: Final = 10
CHUNK: Final = 1000
PATIENCE_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.02
SECRET: Final = "a-secret-for-measuring-only-0123456789-abcdef"
LEFT: Final = "select count(*) from monohull.jobs where name = 'noop.run' and done_at is null"
LEADS: Final = "select count(*) from monohull.job_types where name = 'noop.run'"


@contextmanager
def worker(settings: str, **environ: str) -> Iterator[None]:
    """Run one worker process for the length of the block."""
    command = [sys.executable, "-m", "saq", settings]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **environ}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


async def ours(database: Database, count: int) -> float:
    """Return jobs in a second."""
    began = monotonic_seconds()
    for start in range(0, count, CHUNK):
        calls = [Call(job=run, arguments={"n": n}) for n in range(start, min(start + CHUNK, count))]
        async with database.unit_of_work() as session:
            await enqueue_batch(session, calls)
    await until(database, LEFT, 0)
    return count / (monotonic_seconds() - began)


async def until(database: Database, query: str, wanted: int) -> None:
    """Wait until the query answers ``wanted``."""
    async with asyncio.timeout(PATIENCE_SECONDS), database.connection() as connection:
        while await connection.fetchval(query) != wanted:  # noqa: ASYNC110 another process
            await asyncio.sleep(LOOK_SECONDS)


async def plain(url: str, count: int) -> float:
    """Return jobs in a second of SAQ alone."""
    queue = RedisQueue.from_url(url, name=QUEUE)
    await queue.connect()
    began = monotonic_seconds()
    for start in range(0, count, CHUNK):
        await asyncio.gather(*(queue.enqueue("run", n=n) for n in range(start, min(start + CHUNK, count))))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await queue.count("incomplete"):  # noqa: ASYNC110 another process
            await asyncio.sleep(LOOK_SECONDS)
    seconds = monotonic_seconds() - began
    await queue.disconnect()
    return count / seconds


async def measure(services: Services, jobs: int, rounds: int) -> tuple[list[float], list[float]]:
    database = Database(services.postgres_url)
    try:
        await upgrade(database, login=Login(SECRET, is_reset=True))
        environ = {
            "MONOHULL_ENV": "test",
            "MONOHULL_JWT_SECRET": SECRET,
            "MONOHULL_DATABASE_URL": services.postgres_url,
            "MONOHULL_REDIS_URL": services.redis_url,
            "MONOHULL_MODULES": "tests.load.noop",
            "MONOHULL_LOG_LEVEL": "error",
            "MONOHULL_WORKER_CONCURRENCY": str(CONCURRENCY),
        }
        mine: list[float] = []
        alone: list[float] = []
        for _ in range(rounds):
            with worker("monohull.worker.settings", **environ):
                await until(database, LEADS, 1)
                await ours(database, CHUNK // 10)  # what is done once is done
                mine.append(await ours(database, jobs))
            plainly = {"REDIS_URL": services.redis_url, "CONCURRENCY": str(CONCURRENCY)}
            with worker("tests.load.noop.plain.settings", **plainly):
                await plain(services.redis_url, CHUNK // 10)
                alone.append(await plain(services.redis_url, jobs))
    finally:
        await database.close()
    return mine, alone


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monohull-load-") as folder:
        services = start_services(Path(folder))
        try:
            mine, alone = asyncio.run(measure(services, chosen.jobs, chosen.rounds))
        finally:
            services.stop()
    share = statistics.median(mine) / statistics.median(alone)
    sys.stdout.write(
        f"jobs/s, enqueue to done: {statistics.median(mine):.0f} (plain SAQ {statistics.median(alone):.0f}, "
        f"ratio {share:.2f})\n"
    )


if __name__ == "__main__":
    main()
