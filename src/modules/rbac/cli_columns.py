"""``monohull roles columns``: which columns of a table or view a role leaves.

``RELATION`` is ``schema.name``, or a name in the schema ``public``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from monohull.kernel.commands import emit, home_option, json_option, run
from monohull.kernel.principal import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from modules.rbac.dtos import ColumnsView
    from modules.rbac.services import Columns
    from monohull.kernel.runtime import Runtime


@click.group(name="columns", context_settings={"help_option_names": ["-h", "--help"]})
def columns() -> None:
    """Limit roles to columns of tables and views."""


@columns.command(name="list")
@click.argument("role")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, role: str, home: Path | None, as_json: bool) -> None:
    """List what ROLE leaves of which tables and views."""

    async def work(runtime: Runtime) -> Sequence[ColumnsView]:
        return await _service(runtime).list_all(role)

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for one in found:
        click.echo(_shown(one))


@columns.command()
@click.argument("role")
@click.argument("relation")
@click.option("--read", help="Columns that may be read: a,b, or '*'. Without it reading is not limited.")
@click.option("--write", help="Columns that may be written; by default those that may be read.")
@home_option
@json_option
@click.pass_context
def limit(  # noqa: PLR0913, PLR0917 click passes one an option
    context: click.Context,
    role: str,
    relation: str,
    read: str | None,
    write: str | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Limit ROLE to columns of RELATION. An empty list leaves none."""
    from modules.rbac.dtos import LimitColumns  # noqa: PLC0415 start-up time

    try:
        wanted = msgspec.convert({"read": _names(read), "write": _names(write)}, LimitColumns)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error

    async def work(runtime: Runtime) -> ColumnsView:
        return await _service(runtime).limit(role, *_key(relation), wanted, SYSTEM)

    limited = run(context, home, work)
    if as_json:
        emit(limited)
        return
    click.echo(_shown(limited))


@columns.command()
@click.argument("role")
@click.argument("relation")
@home_option
@click.pass_context
def free(context: click.Context, role: str, relation: str, home: Path | None) -> None:
    """Have ROLE say nothing about RELATION any more."""

    async def work(runtime: Runtime) -> None:
        await _service(runtime).free(role, *_key(relation), SYSTEM)

    run(context, home, work)
    click.echo(f"{role} does not limit {'.'.join(_key(relation))} any more")


@columns.command()
@click.argument("role")
@click.option("--to", "database_role", required=True, help="The database role that stands for it.")
@home_option
@click.pass_context
def grants(context: click.Context, role: str, database_role: str, home: Path | None) -> None:
    """Print the SQL that leaves a database role what ROLE leaves, for a migration.

    It binds whoever works as that role in any other way than the data API. Nothing is run.
    """

    async def work(runtime: Runtime) -> Sequence[str]:
        return await _service(runtime).grants(role, database_role)

    for statement in run(context, home, work):
        click.echo(statement)


def _service(runtime: Runtime) -> Columns:
    """Return the service, announcing what it changes to the processes that serve."""
    from modules.rbac.services import Columns  # noqa: PLC0415 start-up time
    from modules.rbac.services.changes import Changes  # noqa: PLC0415 start-up time
    from modules.rbac.watch import AccessWatch  # noqa: PLC0415 start-up time

    watch = AccessWatch(runtime.database, runtime.broker, runtime.grants, runtime.observer)
    return Columns(runtime.database, Changes(runtime.database, watch.announce))


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def _key(relation: str) -> tuple[str, str]:
    schema, dot, name = relation.partition(".")
    return (schema, name) if dot else ("public", schema)


def _shown(one: ColumnsView) -> str:
    gone = "" if one.is_present else "  (there is no such relation)"
    return f"{one.schema}.{one.relation}  read: {_listed(one.read)}  write: {_listed(one.write)}{gone}"


def _listed(names: Sequence[str] | None) -> str:
    if names is None:
        return "not limited"
    return ", ".join(names) or "nothing"
