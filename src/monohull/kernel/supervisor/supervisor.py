"""`Supervisor`: start everything in order, keep it running, stop it in reverse."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING, Final

from monohull import __version__
from monohull.kernel.clock import monotonic_seconds, now
from monohull.kernel.embedded.ports import free_port, is_free
from monohull.kernel.home import HomeLock, ProcessState, State
from monohull.kernel.refusals import NotReachable, Refused, WrongSetup, writing
from monohull.kernel.schema import ADVICE
from monohull.kernel.supervisor.block import local_host, local_url, probe, ready_block, services_block
from monohull.kernel.supervisor.child import Child, describe_exit, reap_strangers
from monohull.kernel.supervisor.leftovers import end_leftovers
from monohull.kernel.supervisor.migrated import is_unchanged, record_migrated, was_migrated
from monohull.kernel.supervisor.plan import record_contents
from monohull.kernel.supervisor.services import Watched, embedded_servers, service_state
from monohull.kernel.supervisor.signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from monohull.kernel.supervisor.forks import Forks
    from monohull.kernel.supervisor.plan import Plan

INTERRUPTED: Final = 130
READY_SECONDS: Final = 120.0
TICK_SECONDS: Final = 0.25
PROBE_PAUSE_SECONDS: Final = 0.05
STOP_MARGIN_SECONDS: Final = 5.0
WRONG_SETUP: Final = WrongSetup.exit_code
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Read by the metrics library in API and worker; see `monohull.kernel.metrics`."""


class Interrupted(Refused):
    """Somebody asked to stop before everything ran."""

    exit_code = INTERRUPTED


class ChildFailed(Refused):
    """A child refused; it has said why itself."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # the child's own


class Supervisor:
    """One run of ``monohull up``.

    Args:
        plan: What to run.
        show: Prints the block for the person who started it.
        say: Prints a line about what happens.
        forks: Loads the product, so that API and worker share it; without it each loads its own.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        show: Callable[[str], None],
        say: Callable[[str], None],
        forks: Forks | None = None,
    ) -> None:
        self._plan = plan
        self._show = show
        self._say = say
        self._forks = forks
        self._signals = StopSignals()
        self._watched: list[Watched] = []
        self._children: list[Child] = []
        self._since = now()
        self._started_at = monotonic_seconds()
        self._port: int | None = None

    def run(self) -> int:
        """Run until a signal; return the exit code.

        Raises:
            Refused: It cannot start, or something dies again and again. Everything is stopped by then.
        """
        with self._signals:
            lock = self._take_home()
            try:
                self._start()
                self._watch()
            finally:
                self._stop()
                lock.close()
        return INTERRUPTED if self._signals.first is signal.SIGINT else 0

    # --- start -------------------------------------------------------------------------------

    def _take_home(self) -> HomeLock:
        home = self._plan.home
        if self._plan.fresh and home.path.exists() and home.marker() is None and any(home.path.iterdir()):
            home.wipe()  # refuses, and says why
        lock = home.lock()
        try:
            end_leftovers(home.read_state())
            if self._plan.fresh:
                for server in embedded_servers(self._plan):
                    server.end_leftovers()
                home.wipe()
                lock.close()
                lock = home.lock()
        except BaseException:
            lock.close()
            raise
        return lock

    def _start(self) -> None:
        core = self._plan.settings.core
        if not self._plan.services_only:
            self._port = core.port or free_port()
            demand_free(self._port, local_host(core))
        for server in embedded_servers(self._plan):
            watched = Watched(server)
            self._watched.append(watched)
            watched.start(self._is_stopping)
        record_contents(self._plan, {w.server.name: w.server.version for w in self._watched})
        self._write_state(url=None)
        if self._plan.services_only:
            self._migrate()
            self._show(services_block(self._plan, monotonic_seconds() - self._started_at))
            return
        if self._forks is not None:
            self._forks.load({METRICS_FOLDER: str(self._metrics_folder)})
            self._refuse_when_stopping()
        if is_unchanged(self._plan):
            self._start_children()
            self._await_ready(migrated=False)
        elif was_migrated(self._plan):
            # most likely there is nothing to do: API and worker load meanwhile, and refuse to serve a schema
            # that does not fit them
            self._start_children()
            self._migrate()
            self._await_ready()
        else:
            self._migrate()
            self._start_children()
            self._await_ready()
        record_migrated(self._plan)
        self._write_state(url=self._url)
        self._show(ready_block(self._plan, self._url, monotonic_seconds() - self._started_at))

    def _migrate(self) -> None:
        """Run the same command as people do; outside production with the seed, which is loaded once.

        Raises:
            ChildFailed: With the command's own exit code; it has printed the reason.
        """
        seed = () if self._plan.settings.core.is_production else ("--seed",)
        child = self._child("migrate", *seed)
        child.start()
        self._children.append(child)
        while (code := child.died()) is None:
            self._signals.sleep(TICK_SECONDS)
            self._refuse_when_stopping()
        self._children.remove(child)
        if code != 0:
            raise ChildFailed(
                f"migrate failed ({describe_exit(code)}); what it said stands above",
                code if code > 0 else NotReachable.exit_code,
            )

    def _start_children(self) -> None:
        # API and worker leave their numbers in one folder, so that /metrics tells of both
        folder = self._metrics_folder
        shutil.rmtree(folder, ignore_errors=True)
        with writing(folder):
            folder.mkdir(parents=True)
        for name, options in (("serve", ("--port", str(self._port), "--checked")), ("worker", ())):
            child = self._child(name, *options)
            child.start()
            self._children.append(child)
        self._write_state(url=None)

    def _child(self, command: str, *options: str) -> Child:
        core = self._plan.settings.core
        environ = dict(self._plan.environ)
        if self._port is not None and "MONOHULL_PUBLIC_URL" not in self._plan.settings.sources:
            environ["MONOHULL_PUBLIC_URL"] = self._url
        if command in ("serve", "worker"):
            environ[METRICS_FOLDER] = str(self._metrics_folder)
        return Child(
            command,
            [command, "--home", str(self._plan.home.path), *options],
            program=self._plan.program,
            forks=self._forks,
            environ=environ,
            directory=self._plan.project,
            stop_seconds=core.effective_lame_duck_seconds + core.drain_seconds + STOP_MARGIN_SECONDS,
        )

    @property
    def _metrics_folder(self) -> Path:
        return self._plan.home.run / "metrics"

    @property
    def _url(self) -> str:
        assert self._port is not None
        return local_url(self._plan.settings.core, self._port)

    def _await_ready(self, *, migrated: bool = True) -> None:
        """Return when the API answers that it is ready; with ``migrated`` false it may ask for a migrator.

        Raises:
            NotReachable: It does not get there; with its last answer.
        """
        assert self._port is not None
        host = local_host(self._plan.settings.core)
        end = monotonic_seconds() + READY_SECONDS
        while (answer := probe(host, self._port)) is not None:
            self._tend(starting=True)
            if monotonic_seconds() > end:
                raise NotReachable(f"the API is not ready after {READY_SECONDS:.0f} s: {answer}")
            if not migrated and ADVICE["pending"] in answer:
                self._say("the database is not what it was; applying the migrations")
                self._migrate()
                migrated = True
            self._signals.sleep(PROBE_PAUSE_SECONDS)
            self._refuse_when_stopping()

    def _write_state(self, *, url: str | None) -> None:
        services = {watched.server.name: service_state(watched.server) for watched in self._watched}
        processes = {child.name: ProcessState.of(child.pid) for child in self._children if child.pid}
        self._plan.home.write_state(
            State(
                since=self._since,
                supervisor=ProcessState.of(os.getpid()),
                version=__version__,
                project=str(self._plan.project),
                example=self._plan.example,
                url=url,
                postgres=services.get("postgres"),
                redis=services.get("redis"),
                api=processes.get("serve"),
                worker=processes.get("worker"),
            )
        )

    # --- watch -------------------------------------------------------------------------------

    def _is_stopping(self) -> bool:
        return self._signals.requested

    def _refuse_when_stopping(self) -> None:
        if self._is_stopping():
            raise Interrupted("interrupted while starting")

    def _watch(self) -> None:
        while not self._is_stopping():
            self._signals.sleep(TICK_SECONDS)
            if not self._is_stopping():
                self._tend(starting=False)

    def _tend(self, *, starting: bool) -> None:
        """Bring back whatever died.

        Raises:
            NotReachable: Something keeps dying.
            WrongSetup: A child says that its configuration does not hold.
        """
        changed = [watched.tick(self._say, self._is_stopping) for watched in self._watched]
        changed += [self._tend_child(child, starting=starting) for child in self._children]
        known = {watched.server.pid for watched in self._watched} | {
            child.pid or 0 for child in self._children
        }
        reap_strangers(known)
        if any(changed):
            self._write_state(url=None if starting or self._port is None else self._url)

    def _tend_child(self, child: Child, *, starting: bool) -> bool:
        code = child.died()
        if code is not None:
            if starting and code == WRONG_SETUP:
                raise ChildFailed(f"{child.name} refused to start; what it said stands above", code)
            # what finds a service away, once all ran, waits for it like everybody else
            blameless = code == -signal.SIGKILL or (code == NotReachable.exit_code and not starting)
            pause = child.restarts.pause_seconds(lived_seconds=child.lived_seconds, killed=blameless)
            if pause is None:
                raise NotReachable(
                    f"{child.name} keeps ending ({describe_exit(code)}); its last lines stand above"
                )
            self._say(f"{child.name} ended ({describe_exit(code)}); starting it again")
            child.due_at = monotonic_seconds() + pause
        if child.due_at is None or monotonic_seconds() < child.due_at:
            return False
        child.start()
        return True

    # --- stop --------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Stop API, worker, Redis, PostgreSQL, each when the one before is gone; a second signal kills."""
        for child in self._children:
            self._stop_child(child)
        for watched in reversed(self._watched):
            watched.server.stop(cancelled=lambda: self._signals.insisted)
        self._plan.home.clear_state()

    def _stop_child(self, child: Child) -> None:
        child.request_stop()
        asked_at = monotonic_seconds()
        while child.died() is None and child.pid is not None:
            if self._signals.insisted or child.is_overdue(asked_at):
                child.kill()
                return
            self._signals.sleep(TICK_SECONDS)


def demand_free(port: int, host: str) -> None:
    """Refuse a port that somebody listens on.

    Raises:
        WrongSetup: It is taken.
    """
    if not is_free(port, host):
        raise WrongSetup(
            f"MONOHULL_PORT: {host}:{port} is in use by another program; "
            "stop it, or take another port with --port"
        )
