"""``monohull serve``: the API process, the application that ``litestar run`` serves too."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from monohull.cli.context import NOT_REACHABLE, WRONG_CONFIGURATION, core_settings, fail, in_child, reports
from monohull.kernel.commands import home_option, project_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monohull.kernel.settings import CoreSettings

RESPAWN_SECONDS: Final = 0.5
KILL_AFTER_DRAIN_SECONDS: Final = 5
MAX_CONNECTIONS: Final = 20_000
"""Of one process, at a time; an idle one costs a few kilobytes."""
OWN_FILES: Final = 1_000
HEADER_MILLISECONDS: Final = 30_000
"""For the header of a request; the same for a connection that waits for its next one."""
MAX_HEADER_BYTES: Final = 128 * 1024
"""Of a request; Granian begins anew with each part that comes, so that larger ones hold its loop up."""
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Read by the metrics library when it is imported; see `monohull.kernel.metrics`."""


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--checked", is_flag=True, hidden=True, help="Somebody checked the configuration already.")
@home_option
@project_option
@reports
def serve(  # noqa: PLR0913 (the options of one command)
    *,
    host: str | None,
    port: int | None,
    workers: int,
    checked: bool,
    home: Path | None,
    project: Path | None,
) -> None:
    """Serve the API until a signal stops it.

    The configuration is checked in a child that ends at once: this process only
    watches the ones that serve, and loads no more than what several of them share.
    """
    if project is not None:
        os.chdir(project)
    core = core_settings(home=home, host=host, port=port)
    if not checked and (code := in_child(check)) != 0:
        raise SystemExit(code)
    demand_free_port(core.host, core.port)
    with shared_metrics():
        run(core, workers)


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Give the processes a folder where each leaves its numbers, unless they were given one."""
    if METRICS_FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="monohull-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[METRICS_FOLDER] = folder
        yield


def check() -> None:
    """Load everything the application will load, for its complaints."""
    from monohull.cli.context import configuration  # noqa: PLC0415 only the child pays for it
    from monohull.kernel.home import connections  # noqa: PLC0415 only the child pays for it

    connections(configuration().settings)


def demand_free_port(host: str, port: int) -> None:
    """Leave with 2 when somebody else listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fail(
                f"MONOHULL_PORT: cannot listen on {host}:{port}: {error.strerror}. "
                "Stop the program that has the port, or take another one with --port.",
                WRONG_CONFIGURATION,
            )


def stop_seconds(core: CoreSettings) -> float:
    """Return how long a process may take from the signal until all that it was at has ended."""
    return core.effective_lame_duck_seconds + core.drain_seconds


def connections_allowed() -> int:
    """Return how many connections one process accepts at a time, having raised the limit of open files.

    Granian (2.8.7) accepts no further one beyond its backpressure, so that a thousand clients who connect and
    say nothing would keep everybody out for as long as it waits for their headers.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OWN_FILES
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(files - OWN_FILES, files // 2)


def run(core: CoreSettings, workers: int) -> None:
    """Run Granian; leave with 3 when its workers cannot stay up."""
    from monohull.cli.product import API, load_product  # noqa: PLC0415 start-up time
    from monohull.kernel.heap import begin_loading, settle  # noqa: PLC0415 start-up time
    from monohull.kernel.logs import logging_dictionary  # noqa: PLC0415 start-up time
    from monohull.kernel.server.worker import serve_worker  # noqa: PLC0415 start-up time

    os.register_at_fork(after_in_child=begin_loading)  # for the workers; they settle when they are loaded
    if workers > 1:  # they share what is loaded before they are forked; one alone has nobody to share with
        begin_loading()
        load_product(API)
        settle()

    server = Server(
        "monohull.asgi:create_app",
        factory=True,
        address=core.host,
        port=core.port,
        interface=Interfaces.ASGI,
        workers=workers,
        log_level=LogLevels.warning,
        log_dictconfig=logging_dictionary(core, process="api"),
        log_access=False,
        backpressure=connections_allowed(),
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_MILLISECONDS, max_buffer_size=MAX_HEADER_BYTES
        ),
        respawn_failed_workers=True,
        respawn_interval=RESPAWN_SECONDS,
        workers_kill_timeout=max(1, int(stop_seconds(core)) + KILL_AFTER_DRAIN_SECONDS),
        process_name="monohull-api",
    )
    try:
        server.serve(spawn_target=serve_worker if core.http_server == "own" else None)
    except SystemExit as ended:
        raise SystemExit(NOT_REACHABLE if ended.code else 0) from None
