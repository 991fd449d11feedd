"""The storm of `tests.crash_jobs.storm` with more events: everything is killed while 10,000 flow.

They flow to webhooks, to a Redis that workers do not use, and to NATS where it is installed.

    make load OF=storm
    python -m tests.load.storm [--events 10000] [--seed 6]

Ends with 1 when something is lost, came out of nothing, or is out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from monohull.kernel.crypto import derive_password
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.embedded import EmbeddedRedis, new_password
from monohull.kernel.home import Connections, with_login
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET
from tests.crash_jobs.conftest import Fleet
from tests.crash_jobs.storm import Storm
from tests.services import start_services

if TYPE_CHECKING:
    from tests.crash_jobs.storm import Report

PASSWORD = derive_password(JWT_SECRET, "authenticator")


async def rage(postgres_url: str, redis: EmbeddedRedis, folder: Path, *, events: int, seed: int) -> Report:
    database = Database(postgres_url)
    await upgrade(database, login=Login(PASSWORD, is_reset=True))
    await database.close()
    data_url = with_login(postgres_url, "authenticator", PASSWORD)
    connections = Connections(Secret(postgres_url), Secret(data_url), Secret(redis.url))
    fleet = Fleet(connections, folder)
    try:
        storm = Storm(fleet, connections, redis, folder, events=events, seed=seed, pause_seconds=0.005)
        return await storm.run()
    finally:
        fleet.end()


def main() -> int:
    """Let it rage and print the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=6)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monohull-load-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        services = start_services(folder)
        redis = EmbeddedRedis(folder / "storm-redis", password=new_password(), durable=False)
        redis.start()
        try:
            report = asyncio.run(
                rage(services.postgres_url, redis, folder, events=chosen.events, seed=chosen.seed)
            )
        except AssertionError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        finally:
            redis.stop()
            services.stop()
    sys.stdout.write(f"{report}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
