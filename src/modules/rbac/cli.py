"""``monohull roles``: list and create roles, give them and take them.

The way to the first owner: whoever may run commands beside the database is
trusted with everything. ``USER`` is an id or a mail address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from modules.rbac.cli_columns import columns
from monohull.kernel.commands import emit, home_option, json_option, run
from monohull.kernel.errors import NotFound
from monohull.kernel.pagination import Page
from monohull.kernel.principal import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from uuid import UUID

    from modules.rbac.dtos import AssignmentView, RoleView
    from modules.rbac.services import Assignments, Roles
    from monohull.kernel.runtime import Runtime

R = TypeVar("R")

ALL = Page(10_000)
"""A command prints what there is."""


def holder_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name who gets or loses a role."""
    for option in (
        click.option("--team", "team_id", type=click.UUID, help="In this team alone; default: everywhere."),
        click.option("--group", help="A group, by name or id."),
        click.option("--key", "key_id", type=click.UUID, help="An API key, by id."),
        click.option("--user", help="A user, by id or mail address."),
    ):
        command = option(command)
    return command


@click.group(name="roles", context_settings={"help_option_names": ["-h", "--help"]})
def roles() -> None:
    """Roles: list, create, limit, assign and revoke. The first owner is made here."""


roles.add_command(columns)


@roles.command(name="list")
@click.option("--permission", help="Only roles that include this permission.")
@click.option("--assigned", is_flag=True, help="List who has which role instead.")
@home_option
@json_option
@click.pass_context
def list_(
    context: click.Context, permission: str | None, assigned: bool, home: Path | None, as_json: bool
) -> None:
    """List the roles by name, or with --assigned who has them."""

    async def work(runtime: Runtime) -> tuple[Sequence[RoleView], Sequence[AssignmentView]]:
        found, assignments = _services(runtime)
        if assigned:
            return (), (await assignments.page(ALL))[0]
        return (await found.page(ALL, permission=permission))[0], ()

    shown, holders = run(context, home, work)
    if as_json:
        emit(holders if assigned else shown)
        return
    for role in shown:
        click.echo(f"{role.name:<16}  {', '.join(role.permissions) or 'no permissions'}")
    for holder in holders:
        click.echo(f"{holder.role:<16}  {_who(holder)}")


@roles.command()
@click.argument("name")
@click.option("--permission", "permissions", multiple=True, help="What it bundles; repeat.")
@click.option("--summary", default="", help="One sentence for whoever gives it.")
@home_option
@json_option
@click.pass_context
def create(  # noqa: PLR0913, PLR0917 click passes one an option
    context: click.Context,
    name: str,
    permissions: tuple[str, ...],
    summary: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Create a role called NAME."""
    from modules.rbac.dtos import CreateRole  # noqa: PLC0415 start-up time

    wanted = {"name": name, "summary": summary, "permissions": permissions}
    try:
        body = msgspec.convert(wanted, CreateRole)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error

    async def work(runtime: Runtime) -> RoleView:
        return await _services(runtime)[0].create(body, SYSTEM)

    created = run(context, home, work)
    if as_json:
        emit(created)
        return
    click.echo(f"{created.name} bundles {', '.join(created.permissions) or 'nothing yet'}")


@roles.command()
@click.argument("role")
@holder_options
@home_option
@json_option
@click.pass_context
def assign(  # noqa: PLR0913, PLR0917 click passes one an option
    context: click.Context,
    role: str,
    user: str | None,
    key_id: UUID | None,
    group: str | None,
    team_id: UUID | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Give ROLE to one user, key or group."""
    from modules.rbac.dtos import AssignRole  # noqa: PLC0415 start-up time

    _demand_one(user, key_id, group)

    async def work(runtime: Runtime) -> AssignmentView:
        user_id, group_id = await _holders(runtime, user, group)
        wanted = AssignRole(role=role, user_id=user_id, key_id=key_id, group_id=group_id, team_id=team_id)
        return await _services(runtime)[1].assign(wanted, SYSTEM)

    given = run(context, home, work)
    if as_json:
        emit(given)
        return
    click.echo(f"{_who(given)} has the role {given.role}")


@roles.command()
@click.argument("role")
@holder_options
@home_option
@json_option
@click.pass_context
def revoke(  # noqa: PLR0913, PLR0917 click passes one an option
    context: click.Context,
    role: str,
    user: str | None,
    key_id: UUID | None,
    group: str | None,
    team_id: UUID | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Take ROLE from one user, key or group; without --team, the one for the whole instance."""
    _demand_one(user, key_id, group)

    async def work(runtime: Runtime) -> AssignmentView:
        user_id, group_id = await _holders(runtime, user, group)
        assignments = _services(runtime)[1]
        found, _ = await assignments.page(
            ALL, role=role, user_id=user_id, key_id=key_id, group_id=group_id, team_id=team_id
        )
        taken = next((assignment for assignment in found if assignment.team_id == team_id), None)
        if taken is None:
            raise NotFound(f"The role {role} is not assigned there.")
        await assignments.take(taken.id, SYSTEM)
        return taken

    ended = run(context, home, work)
    if as_json:
        emit(ended)
        return
    click.echo(f"{_who(ended)} has the role {ended.role} no more")


def _services(runtime: Runtime) -> tuple[Roles, Assignments]:
    """Return the services, announcing what they change to the processes that serve."""
    from modules.rbac.services import Assignments, Roles  # noqa: PLC0415 start-up time
    from modules.rbac.services.changes import Changes  # noqa: PLC0415 start-up time
    from modules.rbac.watch import AccessWatch  # noqa: PLC0415 start-up time

    database = runtime.database
    watch = AccessWatch(database, runtime.broker, runtime.grants, runtime.observer)
    changes = Changes(database, watch.announce)
    return Roles(database, changes, runtime.permissions), Assignments(database, changes)


async def _holders(runtime: Runtime, user: str | None, group: str | None) -> tuple[UUID | None, UUID | None]:
    """Return the ids of the named user and group.

    Raises:
        NotFound: 404.
    """
    from modules.rbac.repositories import AccessRepository  # noqa: PLC0415 start-up time
    from modules.rbac.services.groups import get_group  # noqa: PLC0415 start-up time

    async with runtime.database.unit_of_work() as work:
        user_id = None if user is None else await AccessRepository(work).find_user(user)
        if user is not None and user_id is None:
            raise NotFound(f"No user has the id or mail address {user}.")
        return user_id, None if group is None else (await get_group(work, group)).id


def _demand_one(*holders: object) -> None:
    if sum(holder is not None for holder in holders) != 1:
        raise click.UsageError("One of --user, --key and --group says who.")


def _who(assignment: AssignmentView) -> str:
    """Name the holder of an assignment, and where it holds."""
    for kind, holder in (
        ("user", assignment.user_id),
        ("key", assignment.key_id),
        ("group", assignment.group_id),
    ):
        if holder is not None:
            where = f" in team {assignment.team_id}" if assignment.team_id else ""
            return f"{kind} {holder}{where}"
    raise AssertionError("the schema wants one of three")
