"""The embedded servers of a plan: none where an address is configured."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.embedded import EmbeddedPostgres, EmbeddedRedis
from monohull.kernel.home import HomeError, ProcessState, ServiceState
from monohull.kernel.refusals import NotReachable
from monohull.kernel.supervisor.child import Restarts, describe_exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from monohull.kernel.embedded.server import Server
    from monohull.kernel.supervisor.plan import Plan


def embedded_servers(plan: Plan) -> list[Server]:
    """Return the servers this plan has to run, in the order of their start."""
    core, home = plan.settings.core, plan.home
    servers: list[Server] = []
    if core.database_url is None:
        servers.append(EmbeddedPostgres(home.path, password=postgres_password(plan)))
    if core.redis_url is None:
        servers.append(EmbeddedRedis(home.path, password=home.secret("redis_password")))
    return servers


def postgres_password(plan: Plan) -> str:
    """Return the password of the database in the home, a new one for a new database.

    Raises:
        HomeError: There is a database and its password is gone.
    """
    home, name = plan.home, "postgres_password"
    marker = home.marker()
    is_made = marker is not None and "postgres" in marker.versions and not plan.fresh
    if is_made and not (home.path / "secrets" / name).exists():
        raise HomeError(
            f"the database of {home.path} was made with a password that is gone: "
            f"bring the file secrets/{name} back, or start over with --fresh"
        )
    return home.secret(name)


def service_state(server: Server) -> ServiceState:
    """Return what others need to know about a running server."""
    return ServiceState(server.port, ProcessState.of(server.pid), server.version)


class Watched:
    """One embedded server that is brought back, on its port, whenever it dies."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._restarts = Restarts()
        self._started_at = 0.0
        self._due_at: float | None = None

    def start(self, cancelled: Callable[[], bool]) -> None:
        """Start it, and let what is wrong reach the caller."""
        self._started_at = monotonic_seconds()
        self._due_at = None
        self.server.start(cancelled=cancelled)

    def tick(self, say: Callable[[str], None], cancelled: Callable[[], bool]) -> bool:
        """Bring it back when it is dead and its pause is over; return whether it was started.

        Raises:
            NotReachable: It keeps dying; with its last words.
            WrongSetup: It cannot be started as things are.
        """
        if self.server.is_running():
            return False
        if self._due_at is None:
            code = self.server.exit_code or 0
            say(f"{self.server.name} ended ({describe_exit(code)}); starting it again")
            self._postpone(killed=code == -signal.SIGKILL, words=self.server.last_words())
        if self._due_at is not None and monotonic_seconds() < self._due_at:
            return False
        try:
            self.start(cancelled)
        except NotReachable as error:
            self._postpone(killed=False, words=str(error))
            return False
        say(f"{self.server.name} runs again on port {self.server.port}")
        return True

    def _postpone(self, *, killed: bool, words: str) -> None:
        lived = monotonic_seconds() - self._started_at
        pause = self._restarts.pause_seconds(lived_seconds=lived, killed=killed)
        if pause is None:
            raise NotReachable(
                f"the embedded {self.server.name} keeps ending; its last words ({self.server.log}):\n{words}"
            )
        self._due_at = monotonic_seconds() + pause
