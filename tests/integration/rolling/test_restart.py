"""A rolling restart behind nginx and Caddy fails no request, and loses no job.

Two processes of the API and a worker are restarted, each in its turn, while requests come through the proxy,
most of which must not be sent twice: 60 a second, and 200 a second in the tests that take a minute. The
proxies have the configurations that are shipped.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

import modules
import monohull
from monohull.kernel.database.migrations import head
from monohull.kernel.database.revisions import locate
from tests.application import anon_key, service_key
from tests.integration.cli.serving import free_port
from tests.integration.rolling.processes import COMMANDS, NAMES, Process, Proxy, is_installed
from tests.integration.rolling.traffic import Tally, Traffic
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.timeout(900)  # seconds; a process takes two to start, and thirty where all are busy

NOTES: Final = """
    create table notes (id bigint primary key, text text not null);
    insert into notes values (0, 'the first');
    comment on table notes is '@public';
    grant select, insert, update on notes to anon;
    create table done (n bigint not null);
"""
FEW_PER_SECOND: Final = 60
MANY_PER_SECOND: Final = 200
SETTINGS: Final = {
    # Caddy asks each second, and later where the machine stalls: what it sends to one that is gone is lost
    "lame_duck_seconds": "8",
    "log_level": "warning",
    "modules": "tests.integration.rolling",
    # a busy machine is slow, and refuses nobody
    "pool_timeout_seconds": "60",
}
WORKER_DRAIN_SECONDS: Final = "1"
"""Less than the long jobs take: each stop sends some of them back."""
SETTLE_SECONDS: Final = {"nginx": 0.0, "caddy": 3.0}
"""From when a process is ready until the proxy knows; Caddy asks once a second, nginx never."""
REVISION: Final = """
from alembic import op
revision = "9001"
down_revision = "{head}"
branch_labels = depends_on = None
expands = True


def upgrade():
    op.execute("alter table monohull.outbox add column later text")
    op.execute("create table monohull.later (id bigint primary key)")


def downgrade():
    op.execute("drop table monohull.later")
"""


class Fleet:
    """Two processes of the API behind a proxy, and a worker."""

    def __init__(
        self, connections: Connections, folder: Path, stack: ExitStack, *, proxy: str, command: str
    ) -> None:
        ports = free_port(), free_port()
        self._connections, self._folder = connections, folder
        self._settle_seconds = SETTLE_SECONDS[proxy]
        self.apis = [
            stack.enter_context(
                Process(connections, folder, f"api-{port}", *COMMANDS[command], port=port, settings=SETTINGS)
            )
            for port in ports
        ]
        self.worker = stack.enter_context(
            Process(
                connections,
                folder,
                "worker",
                *("-m", "monohull", "worker"),
                settings={**SETTINGS, "drain_seconds": WORKER_DRAIN_SECONDS},
            )
        )
        for api in self.apis:
            api.wait_ready()
        self.proxy = stack.enter_context(Proxy(proxy, ports, folder))

    def restart(self) -> None:
        """Restart all of them, in turn."""
        self.worker.restart()
        for api in self.apis:
            api.restart()
            time.sleep(self._settle_seconds)

    def upgrade(self, version: Path) -> None:
        """Migrate with another version, let that sink in, and put it in the place of this one."""
        migrate = Process(
            self._connections, self._folder, "migrate", "-m", "monohull", "migrate", settings=SETTINGS
        )
        migrate.use(version)
        assert migrate.run() == 0, migrate.log.read_text()
        for api in self.apis:
            api.wait_ready()  # which asks the database again how it is
        time.sleep(1)
        for process in (self.worker, *self.apis):
            process.use(version)
        self.restart()


async def under_traffic(  # noqa: PLR0913 (named arguments of one call)
    connections: Connections,
    folder: Path,
    proxy: str,
    work: Callable[[Fleet], Awaitable[None]],
    *,
    command: str = "serve",
    per_second: int = FEW_PER_SECOND,
) -> None:
    """Send requests while ``work`` goes on; each has to succeed, once."""
    is_installed(proxy)
    database = await asyncpg.connect(connections.owner_url)
    try:
        await database.execute(NOTES)
        with ExitStack() as stack:
            fleet = await asyncio.to_thread(Fleet, connections, folder, stack, proxy=proxy, command=command)
            working = asyncio.ensure_future(work(fleet))
            traffic = Traffic(fleet.proxy.url, data_key=anon_key(), service_key=service_key())
            tally = await traffic.run(per_second, working.done)
            await working
            report(proxy, tally)
            assert tally.failures == [], fleet.proxy.log.read_text()[-4000:]
            await until_done(database, set(tally.asked), fleet.worker.log)
        rows = {row["id"] for row in await database.fetch("select id from notes where id > 0")}
        assert rows == set(tally.written)
    finally:
        await database.close()


def said(log: Path) -> str:
    return log.read_text()[-4000:]


async def until_done(database: asyncpg.Connection, asked: set[int], log: Path) -> None:
    """Wait until every job that was acknowledged has left its mark."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while lost := asked - {row["n"] for row in await database.fetch("select n from done")}:
        assert time.monotonic() < deadline, f"{len(lost)} of {len(asked)} jobs lost: {said(log)}"
        await asyncio.sleep(0.2)


def report(proxy: str, tally: Tally) -> None:
    spent = sorted(tally.seconds)
    p50, p95 = (1000 * spent[len(spent) * share // 100] for share in (50, 95))
    sys.stdout.write(
        f"{proxy}: {tally.sent} requests, {len(tally.failures)} failed, {len(tally.asked)} jobs; "
        f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, longest {1000 * spent[-1]:.0f} ms\n"
    )


async def test_a_restart_behind_caddy(connections: Connections, tmp_path: Path) -> None:
    async def once(fleet: Fleet) -> None:
        await asyncio.to_thread(fleet.restart)

    await under_traffic(connections, tmp_path, "caddy", once)


async def test_an_upgrade_with_a_revision_behind_nginx(connections: Connections, tmp_path: Path) -> None:
    """The new version's revision only adds: the old one serves after it, until it is replaced."""
    version = tmp_path / "next"
    ignored = shutil.ignore_patterns("__pycache__", "static")
    shutil.copytree(locate(), version / "migrations", ignore=ignored)
    (version / "migrations" / "versions" / "9001_next.py").write_text(REVISION.format(head=head()))
    for package in (monohull, modules):
        source = Path(next(iter(package.__path__)))
        shutil.copytree(source, version / "src" / source.name, ignore=shutil.ignore_patterns("__pycache__"))

    async def once(fleet: Fleet) -> None:
        await asyncio.to_thread(fleet.upgrade, version)

    await under_traffic(connections, tmp_path, "nginx", once)
    database = await asyncpg.connect(connections.owner_url)
    assert await database.fetchval("select version_num from monohull.platform_version") == "9001"
    await database.close()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("proxy", NAMES)
async def test_a_minute_of_restarts(
    connections: Connections, tmp_path: Path, proxy: str, command: str
) -> None:
    async def again_and_again(fleet: Fleet) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            await asyncio.to_thread(fleet.restart)

    await under_traffic(
        connections, tmp_path, proxy, again_and_again, command=command, per_second=MANY_PER_SECOND
    )
