"""The API process: ``litestar --app monohull.asgi:create_app run``, or ``monohull serve``."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from monohull.kernel.app import Application, build_app
from monohull.kernel.configuration import load
from monohull.kernel.embedded.process import end_when_orphaned, follow_parent
from monohull.kernel.heap import settle
from monohull.kernel.home import connections
from monohull.kernel.logs import configure_logging
from monohull.kernel.runtime import Runtime


def create_app() -> Application:
    """Build the application from the environment.

    Raises:
        SettingsError: The configuration does not hold.
        NothingRuns: No database is configured and none runs for this home.
    """
    server = multiprocessing.parent_process()
    if server is not None and server.pid is not None:
        # A forked process has its server's handler, which would swallow the signal: until the event loop
        # has one of its own there is nothing to drain, and to end is right.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # a process that outlived its server's main process would hold the port for ever
        follow_parent(server.pid, signal.SIGTERM)
    configuration = load(os.environ, project=Path.cwd())
    settings = configuration.settings
    configure_logging(settings.core, process="api")
    runtime = Runtime(settings, configuration.modules, connections(settings), process="api")
    app = build_app(runtime, configuration.modules)
    if server is not None and server.pid is not None:
        lifecycle = runtime.lifecycle
        end_when_orphaned(
            server.pid, lambda: lifecycle.in_flight > 0, drain_seconds=settings.core.drain_seconds
        )
    settle()
    return app
