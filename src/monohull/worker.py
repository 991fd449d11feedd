"""The worker process: ``saq monohull.worker.settings``, or ``monohull worker``.

SAQ fetches and runs jobs; beside it, in the same process, a heartbeat says
that this worker lives and a relay leads or waits to lead. A worker serves all
queues, or those that ``MONOHULL_WORKER_QUEUES`` names, each with
``MONOHULL_WORKER_CONCURRENCY`` jobs at a time.

On SIGTERM nothing more is fetched and what runs may finish for
``MONOHULL_DRAIN_SECONDS``; then it is cancelled and goes back into its queue.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from saq.worker import Worker

from monohull import __version__
from monohull.kernel.attempts import Attempts
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.configuration import load
from monohull.kernel.dispatch import duties_of
from monohull.kernel.errors import Problem
from monohull.kernel.heap import settle
from monohull.kernel.home import connections
from monohull.kernel.ids import token
from monohull.kernel.job_metrics import job_metrics
from monohull.kernel.lane import Heartbeat
from monohull.kernel.ledger import Ledger
from monohull.kernel.logs import configure_logging
from monohull.kernel.observation import ProcessStarted, ProcessStopped
from monohull.kernel.redis_connection import close_redis
from monohull.kernel.refusals import NotReachable, WrongSetup
from monohull.kernel.relay import Relay
from monohull.kernel.row_keeping import keeping_row_watches
from monohull.kernel.runtime import Runtime
from monohull.kernel.tasks import beside
from monohull.kernel.worker_health import WorkerHealth

if TYPE_CHECKING:
    from monohull.kernel.configuration import Configuration
    from monohull.kernel.home import Connections

Context = dict[str, Any]
"""SAQ's: ``worker``, ``job`` and whatever `WorkerProcess.start` adds."""

TIMERS: Final = {"schedule": 1, "worker_info": 1, "sweep": 1, "abort": 1}
"""Seconds. SAQ sleeps through these also when it stops, so none may be long."""
CANCELLATION_SECONDS: Final = 5.0


def settings() -> dict[str, Any]:
    """Return what SAQ's `Worker` is made from; SAQ calls this when it starts.

    Raises:
        SettingsError: The configuration does not hold.
        NothingRuns: No database or Redis is configured and none runs for this home.
    """
    configuration = load(os.environ, project=Path.cwd())
    configure_logging(configuration.settings.core, process="worker")
    logging.getLogger("saq").setLevel(
        logging.CRITICAL
    )  # what it would say is observed, without the arguments
    found = WorkerProcess(configuration, connections(configuration.settings)).settings()
    settle()
    return found


async def run_job(context: Context, /, **arguments: Any) -> Any:
    """Run any job; SAQ knows this one function under every job's name."""
    attempts: Attempts = context["attempts"]
    return await attempts.run(context["job"], arguments)


class SideWorker(Worker[Any]):
    """SAQ's worker for a further queue of the same process, which leaves the signals to the first."""

    SIGNALS: list[Any] = []


class WorkerProcess:
    """Everything a worker is made of, opened when SAQ starts and closed when it stops."""

    def __init__(self, configuration: Configuration, where: Connections) -> None:
        self._core = configuration.settings.core
        self.runtime = Runtime(configuration.settings, configuration.modules, where, process="worker")
        self._duties = duties_of(configuration.modules, self.runtime.events)
        self._id = f"{os.getpid()}-{token(16)}"
        self._stack = AsyncExitStack()
        self._sides: list[asyncio.Task[None]] = []
        self._is_started = False

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that are served, the first of them by SAQ's own worker."""
        return self._core.worker_queues or self.runtime.queues.names

    def settings(self) -> dict[str, Any]:
        """Return SAQ's settings for the first queue; the others run beside it."""
        return {
            **self._settings_of(self.queues[0]),
            "startup": self.start,
            "shutdown": self.stop,
        }

    def _settings_of(self, queue: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "queue": self.runtime.queues.lane(queue),
            "functions": [(name, run_job) for name in self._duties.jobs],
            "concurrency": self._core.worker_concurrency,
            "timers": dict(TIMERS),
            "shutdown_grace_period_s": max(1, int(self._core.drain_seconds)),
            "cancellation_hard_deadline_s": CANCELLATION_SECONDS,
        }

    async def start(self, context: Context) -> None:
        """Open everything.

        Raises:
            SystemExit: 3, PostgreSQL or Redis does not answer. Later on it may go
                away and come back; at the start somebody should hear of it. 2, the port of
                its health is taken.
        """
        worker: Worker[Any] = context["worker"]
        runtime = self.runtime
        runtime.observer.add_reader(job_metrics(runtime.metrics))
        first = runtime.queues.lane(self.queues[0])
        health = WorkerHealth(runtime.health, lambda: first.is_stopping)
        await self._serve_health(health)
        if (missing := await self._missing()) is not None:
            sys.stderr.write(f"{missing}\n")
            raise SystemExit(NotReachable.exit_code)
        await self._stack.enter_async_context(runtime.running())
        attempts = context["attempts"] = Attempts(runtime, self._duties.jobs, worker=self._id)
        heartbeat = Heartbeat(
            runtime.queues.redis,
            self._id,
            attempts.running,
            queues=self.queues,
            concurrency=self._core.worker_concurrency,
            cancel=attempts.cancel,
        )
        await self._stack.enter_async_context(heartbeat.beating())
        _ = await self._stack.enter_async_context(beside(attempts.beat_for_ever(), name="ledger heartbeat"))
        first.stop_with(worker.event)
        for queue in self.queues[1:]:
            self._sides.append(asyncio.create_task(self._serve(queue, worker, attempts)))
        with suppress(Problem):  # a database that went away just now hears of them from the next worker
            await Ledger(runtime.database).register(self._duties.jobs.values())
        relay = Relay(
            runtime.database,
            runtime.queues,
            self._duties,
            runtime.observer,
            concurrency=self._core.worker_concurrency,
        )
        await self._stack.enter_async_context(relay.running())
        await self._stack.enter_async_context(keeping_row_watches(runtime.database, runtime.observer))
        for enter in (enter for module in runtime.modules for enter in module.in_worker):
            await self._stack.enter_async_context(enter(runtime))
        self._is_started = health.is_started = True
        names = tuple(module.name for module in runtime.modules)
        runtime.observer.observe(ProcessStarted(process="worker", version=__version__, modules=names))

    async def _serve_health(self, health: WorkerHealth) -> None:
        """Answer for the worker from its first moment on, if there is a port for it."""
        core = self._core
        try:
            await self._stack.enter_async_context(health.serving(core.host, core.worker_health_port))
        except OSError as error:
            sys.stderr.write(
                f"MONOHULL_WORKER_HEALTH_PORT: cannot listen on {core.host}:{core.worker_health_port}: "
                f"{error.strerror}. Each worker of a host needs a port of its own.\n"
            )
            raise SystemExit(WrongSetup.exit_code) from None

    async def stop(self, _: Context) -> None:
        """Wait for the other queues' jobs, which drain at the same time, and close everything."""
        began = monotonic_seconds()
        await asyncio.gather(*self._sides)
        drained = self.runtime.lifecycle.in_flight == 0
        await self._stack.aclose()
        if self._is_started:
            seconds = round(monotonic_seconds() - began, 3)
            self.runtime.observer.observe(ProcessStopped(process="worker", drained=drained, seconds=seconds))

    async def _serve(self, queue: str, first: Worker[Any], attempts: Attempts) -> None:
        """Serve a further queue until the first worker stops."""

        async def start(context: Context) -> None:
            context["attempts"] = attempts

        side = SideWorker(**self._settings_of(queue), startup=start)
        self.runtime.queues.lane(queue).stop_with(first.event)
        serving = asyncio.create_task(side.start())
        await first.event.wait()
        await side.stop()
        await serving

    async def _missing(self) -> str | None:
        """Say which service does not answer, or None when both do; then nothing is left open."""
        try:
            await self.runtime.database.open()
            missing = await self.runtime.probe_redis()
        except Problem as problem:
            missing = problem.message
        if missing is not None:
            await self.runtime.database.close()
            await close_redis(self.runtime.redis)
        return missing
