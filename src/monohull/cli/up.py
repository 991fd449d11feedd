"""``monohull up``: everything on one machine, in one go."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from monohull.cli.context import reports
from monohull.cli.product import EVERYTHING, load_product
from monohull.kernel.clock import now
from monohull.kernel.commands import home_option, project_option
from monohull.kernel.supervisor import Forks, Plan, Supervisor, make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of everything; 0 takes a free one.")
@click.option("--example", metavar="NAME", help="Use an example as the project, storefront or flights.")
@click.option("--fresh", is_flag=True, help="Delete what is in the home first.")
@click.option("--services-only", is_flag=True, help="PostgreSQL, Redis and migrations; no API, no worker.")
@home_option
@project_option
@reports
def up(  # noqa: PLR0913 (the options of one command)
    *,
    port: int | None,
    example: str | None,
    fresh: bool,
    services_only: bool,
    home: Path | None,
    project: Path | None,
) -> None:
    """Start PostgreSQL and Redis where no address is set, migrate, run API and worker.

    Ctrl-C stops all of it in order; a second one does not wait.
    """
    if example is not None and project is not None:
        raise click.UsageError("--example is a project; leave out --project")
    plan = make_plan(
        os.environ,
        directory=(project or Path.cwd()).absolute(),
        options=given(port, home),
        example=example,
        fresh=fresh,
        services_only=services_only,
    )
    forks = Forks(load, run_command)
    code = Supervisor(plan, show=click.echo, say=lambda line: say(plan, line), forks=forks).run()
    raise SystemExit(code)


def load() -> None:
    """Load the product from where it is installed."""
    if not sys.flags.safe_path:
        del sys.path[0]  # a project's folder `modules` must not stand in for ours; see `Plan.program`
    load_product(EVERYTHING)


def run_command(arguments: Sequence[str]) -> None:
    """Run a command as the program ``monohull`` does."""
    from monohull.cli import main  # noqa: PLC0415 it imports this file by name

    main(list(arguments))


def given(port: int | None, home: Path | None) -> dict[str, str]:
    """Return the options that were used, by setting name."""
    options = {} if port is None else {"port": str(port)}
    return options if home is None else options | {"home": str(home.absolute())}


def say(plan: Plan, line: str) -> None:
    """Write a line about what happens beside the log lines of the children, in their format."""
    if plan.settings.core.effective_log_format == "json":
        entry = {"timestamp": now(), "level": "warning", "event": "supervisor", "message": line}
        click.echo(msgspec.json.encode(entry), err=True)
    else:
        click.echo(f"monohull up: {line}", err=True)
