"""``monohull status``: what runs for this home, for people, programs and shells."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from monohull.cli.context import NOT_REACHABLE, emit, fail, reports
from monohull.kernel.commands import home_option, project_option
from monohull.kernel.home import (
    Home,
    ProcessState,
    ServiceState,
    State,
    jwt_secret,
    owner_url,
    redis_url,
)
from monohull.kernel.settings import Settings, load_core
from monohull.kernel.supervisor.block import keys_of


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "env"]), default="text", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@home_option
@project_option
@reports
def status(*, form: str, as_json: bool, home: Path | None, project: Path | None) -> None:
    """Say what runs for this home; leave with 3 when nothing does.

    With env, lines for a shell: eval "$(monohull status --format env)".
    """
    directory = (project or Path.cwd()).absolute()
    options = {} if home is None else {"home": str(home.absolute())}
    settings = load_core(environ=os.environ, project=directory, options=options)
    found = Home(settings.home)
    state = found.living_state()
    if state is None:
        fail(f"nothing runs for {found.path}; `monohull up` starts it", NOT_REACHABLE)
    if as_json or form == "json":
        emit(described(state, found))
    elif form == "env":
        click.echo(
            "\n".join(f"{name}={shlex.quote(value)}" for name, value in variables(settings, found, state))
        )
    else:
        click.echo(text(state, found))


def variables(settings: Settings, home: Home, state: State) -> list[tuple[str, str]]:
    """Return names and values for shells and tests."""
    anon, service = keys_of(settings, home)
    return [
        ("MONOHULL_URL", state.url or ""),
        ("ANON_KEY", anon),
        ("SERVICE_KEY", service),
        ("JWT_SECRET", jwt_secret(settings, home)),
        ("DATABASE_URL", owner_url(settings, home)),
        ("REDIS_URL", redis_url(settings, home)),
    ]


def described(state: State, home: Home) -> dict[str, Any]:
    """Return what runs, without a secret."""
    return {
        "home": str(home.path),
        "url": state.url,
        "since": state.since,
        "version": state.version,
        "project": state.project,
        "example": state.example,
        "supervisor": {"pid": state.supervisor.pid},
        "api": _process(state.api),
        "worker": _process(state.worker),
        "postgres": _service(state.postgres),
        "redis": _service(state.redis),
    }


def _process(process: ProcessState | None) -> dict[str, Any] | None:
    return None if process is None else {"pid": process.pid, "running": process.is_alive}


def _service(service: ServiceState | None) -> dict[str, Any]:
    if service is None:
        return {"embedded": False}
    return {
        "embedded": True,
        "pid": service.process.pid,
        "running": service.process.is_alive,
        "port": service.port,
        "version": service.version,
    }


def text(state: State, home: Home) -> str:
    """Return the same for a person."""
    rows = [
        ("URL", state.url or "none: the API is starting, or was left to others"),
        ("Home", str(home.path)),
        ("Project", state.project),
        ("Since", state.since.strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("Monohull", f"{state.version}, process {state.supervisor.pid}"),
        ("API", _process_text(state.api)),
        ("Worker", _process_text(state.worker)),
        ("PostgreSQL", _service_text(state.postgres)),
        ("Redis", _service_text(state.redis)),
    ]
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _process_text(process: ProcessState | None) -> str:
    if process is None:
        return "none"
    return f"process {process.pid}" if process.is_alive else "being started again"


def _service_text(service: ServiceState | None) -> str:
    if service is None:
        return "the configured server"
    running = f"process {service.process.pid}" if service.process.is_alive else "being started again"
    return f"{service.version}, port {service.port}, {running}"
