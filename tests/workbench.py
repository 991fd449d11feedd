"""Workers in the test's own event loop, and what they told: for tests of events, jobs and the relay."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monohull.kernel.configuration import Configuration, load
from monohull.kernel.module import load_modules
from monohull.kernel.runtime import Runtime
from monohull.kernel.settings import BUILTIN_MODULES
from monohull.worker import SideWorker, WorkerProcess
from tests.application import JWT_SECRET
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from saq.worker import Worker

    from monohull.kernel.home import Connections
    from monohull.kernel.module import Module
    from monohull.kernel.observation import Observation

_SCHEDULED: Final = ", ".join(
    sorted({f"'{cron.job.name}'" for module in load_modules(BUILTIN_MODULES) for cron in module.cron})
)


class Workbench:
    """One module under test, on real services.

    Attributes:
        runtime: Of a process that only asks for work.
        seen: What the workers observed.
    """

    def __init__(self, module: Module, connections: Connections, **settings: str) -> None:
        environ = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}
        environ["MONOHULL_POOL_TIMEOUT_SECONDS"] = "60"  # on a busy machine some wait long for their turn
        environ |= {f"MONOHULL_{name.upper()}": value for name, value in settings.items()}
        loaded = load(environ, project=Path("/"), builtin=())
        self._configuration = Configuration(loaded.settings, (module,))
        self._connections = connections
        self.runtime = Runtime(loaded.settings, (module,), connections, process="api")
        self.seen: list[Observation] = []

    def names(self) -> list[str]:
        """Return the names of what was observed, in order."""
        return [observation.event for observation in self.seen]

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker[Any]]:
        """Run a worker as SAQ would; leaving the block is its SIGTERM."""
        process = WorkerProcess(self._configuration, self._connections)
        process.runtime.observer.add_reader(self.seen.append)
        before = self.names().count("process.started")
        worker = SideWorker(**process.settings())  # SAQ's, without its signals
        started = asyncio.create_task(worker.start())
        await self.until(lambda: self.names().count("process.started") > before or started.done())
        try:
            yield worker
        finally:
            worker.event.set()
            await started

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until ``holds()`` is true."""
        await eventually(holds, said=lambda: f"seen: {self.names()[-20:]}")

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        """Ask the database, as its owner."""
        async with self.runtime.database.connection() as connection:
            return list(await connection.fetch(query, *arguments))

    async def until_rows(self, query: str, check: Callable[[list[Any]], bool]) -> list[Any]:
        """Repeat ``query`` until its rows pass ``check``, and return them."""
        return await eventually(lambda: self.rows(query), check)

    async def all_done(self) -> list[Any]:
        """Wait until no job is left, and return the ledger, without what modules' schedules put into it."""
        query = f"select * from monohull.jobs where name not in ({_SCHEDULED}) order by position"
        return await self.until_rows(query, lambda rows: all(row["done_at"] for row in rows))
