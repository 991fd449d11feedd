"""``monohull tenant``: put a table under row security by team."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import asyncpg
import click

from monohull.kernel import clock
from monohull.kernel.commands import (
    CommandRefused,
    commands_of,
    emit,
    home_option,
    json_option,
    project_option,
    refusals,
    run,
)
from monohull.kernel.refusals import writing

if TYPE_CHECKING:
    from pathlib import Path

    from modules.teams.tenancy import Tenancy
    from monohull.kernel.runtime import Runtime

REFUSED = 1


@click.group(name="tenant", context_settings={"help_option_names": ["-h", "--help"]})
def tenant() -> None:
    """Tenants: give the rows of a table to teams."""


@tenant.command()
@click.argument("table")
@click.option("--column", default="team_id", show_default=True, help="Holds the team's id; made if missing.")
@click.option(
    "--on-delete",
    type=click.Choice(["restrict", "cascade"]),
    default="restrict",
    show_default=True,
    help="What becomes of rows whose team is deleted; restrict keeps such a team.",
)
@click.option("--active-only", is_flag=True, help="Open only rows of the team that the session works in.")
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
@click.option("--apply", "applies", is_flag=True, help="Run the SQL now, and write no migration.")
@json_option
@home_option
@project_option
@click.pass_context
def protect(  # noqa: PLR0913 click passes one an option
    context: click.Context,
    *,
    table: str,
    column: str,
    on_delete: Literal["restrict", "cascade"],
    active_only: bool,
    dry_run: bool,
    applies: bool,
    as_json: bool,
    home: Path | None,
    project: Path | None,
) -> None:
    """Let only members of a team see and change its rows of TABLE.

    Writes the next migration of the project and prints its SQL. Repeated, it changes nothing.
    """
    from modules.teams.tenancy import Tenancy, parse_table  # noqa: PLC0415 start-up time

    if dry_run and applies:
        raise click.UsageError("--dry-run changes nothing, and --apply does; choose one")
    try:
        schema, name = parse_table(table)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not column or not column.isprintable():
        raise click.UsageError(f"{column!r} is no column")
    tenancy = Tenancy(
        schema=schema, table=name, column=column, on_delete=on_delete, is_active_only=active_only
    )
    file: Path | None
    if dry_run:
        file, told = None, "nothing was changed"
    elif applies:
        run(context, home, lambda runtime: _apply(runtime, tenancy), project=project)
        file, told = None, f"{schema}.{name} is protected"
    else:
        file, is_new = _write(context, tenancy, home, project)
        told = f"wrote {file}; apply it with: monohull migrate" if is_new else f"{file} says so already"
    if as_json:
        emit({"sql": tenancy.sql(), "file": file and str(file), "is_applied": applies})
        return
    click.echo(tenancy.sql(), nl=False)
    click.echo(told, err=True)


def _write(
    context: click.Context, tenancy: Tenancy, home: Path | None, project: Path | None
) -> tuple[Path, bool]:
    """Write the migration; return its file and whether it is new."""
    folder = commands_of(context).load(home, project).settings.project
    with refusals(), writing(folder):
        return tenancy.write(folder, clock.now())


async def _apply(runtime: Runtime, tenancy: Tenancy) -> None:
    """Run the SQL as one transaction.

    Raises:
        CommandRefused: PostgreSQL refuses it, a table that is not there for example.
    """
    async with runtime.database.connection() as connection:
        try:
            async with connection.transaction():
                await connection.execute(tenancy.sql())
        except (asyncpg.SyntaxOrAccessError, asyncpg.IntegrityConstraintViolationError) as error:
            raise CommandRefused(f"{error}; nothing was changed", REFUSED) from error
