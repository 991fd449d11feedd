"""``monohull teams``: make teams, see who is in them, put people in and take them out.

``TEAM`` is a slug or an id, ``USER`` a mail address or an id. Whoever may run
commands beside the database is trusted with every team.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import msgspec

from monohull.kernel.commands import emit, home_option, json_option, run
from monohull.kernel.errors import NotFound
from monohull.kernel.pagination import Page
from monohull.kernel.principal import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from modules.teams.dtos import TeamMember, TeamView
    from modules.teams.services import Teams
    from monohull.kernel.runtime import Runtime

ALL: Final = Page(10_000)
"""A command prints what there is."""


@click.group(name="teams", context_settings={"help_option_names": ["-h", "--help"]})
def teams() -> None:
    """Teams: list, create, delete, and who is in them."""


@teams.command(name="list")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, home: Path | None, as_json: bool) -> None:
    """List all teams by name."""

    async def work(runtime: Runtime) -> Sequence[TeamView]:
        return (await _teams(runtime).page(ALL, SYSTEM, all_=True))[0]

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for team in found:
        click.echo(f"{team.id}  {team.slug:<24}  {team.name}")


@teams.command()
@click.argument("name")
@click.option("--slug", required=True, help="Names it in addresses; lower case letters, digits and -.")
@click.option("--owner", required=True, metavar="USER", help="Its first owner, by mail address or id.")
@home_option
@json_option
@click.pass_context
def create(  # noqa: PLR0913, PLR0917 click passes one an option
    context: click.Context, name: str, slug: str, owner: str, home: Path | None, as_json: bool
) -> None:
    """Create a team called NAME."""
    from modules.teams.dtos import CreateTeam  # noqa: PLC0415 start-up time

    try:
        body = msgspec.convert({"name": name, "slug": slug}, CreateTeam)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error

    async def work(runtime: Runtime) -> TeamView:
        owner_id = await _user(runtime, owner)
        return await _teams(runtime).create(msgspec.structs.replace(body, owner_id=owner_id), SYSTEM)

    made = run(context, home, work)
    if as_json:
        emit(made)
        return
    click.echo(f"made the team {made.slug}, {made.id}")


@teams.command()
@click.argument("team")
@home_option
@click.pass_context
def delete(context: click.Context, team: str, home: Path | None) -> None:
    """Delete TEAM with its memberships and invitations."""

    async def work(runtime: Runtime) -> None:
        await _teams(runtime).delete(await _team(runtime, team), SYSTEM)

    run(context, home, work)
    click.echo(f"deleted the team {team}")


@teams.command()
@click.argument("team")
@home_option
@json_option
@click.pass_context
def members(context: click.Context, team: str, home: Path | None, as_json: bool) -> None:
    """List who is in TEAM, with their roles there."""

    async def work(runtime: Runtime) -> Sequence[TeamMember]:
        from modules.teams.services import Members  # noqa: PLC0415 start-up time

        return (await Members(runtime.database).page(await _team(runtime, team), ALL, SYSTEM))[0]

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for member in found:
        click.echo(f"{member.user_id}  {', '.join(member.roles):<16}  {member.email or ''}")


@teams.command()
@click.argument("team")
@click.argument("user")
@click.option("--role", default="member", show_default=True, help="A role's name or id.")
@home_option
@click.pass_context
def add(context: click.Context, team: str, user: str, role: str, home: Path | None) -> None:
    """Put USER into TEAM, or give USER another role there."""

    async def work(runtime: Runtime) -> None:
        from modules.teams.services import Members  # noqa: PLC0415 start-up time

        team_id, user_id = await _team(runtime, team), await _user(runtime, user)
        await Members(runtime.database).set_role(team_id, user_id, role, SYSTEM)

    run(context, home, work)
    click.echo(f"{user} is in the team {team} as {role}")


@teams.command()
@click.argument("team")
@click.argument("user")
@home_option
@click.pass_context
def remove(context: click.Context, team: str, user: str, home: Path | None) -> None:
    """Take USER out of TEAM; its last owner stays."""

    async def work(runtime: Runtime) -> None:
        from modules.teams.services import Members  # noqa: PLC0415 start-up time

        team_id, user_id = await _team(runtime, team), await _user(runtime, user)
        await Members(runtime.database).remove(team_id, user_id, SYSTEM)

    run(context, home, work)
    click.echo(f"{user} is in the team {team} no more")


def _teams(runtime: Runtime) -> Teams:
    from modules.teams.services import Teams  # noqa: PLC0415 start-up time
    from modules.teams.settings import TeamsSettings  # noqa: PLC0415 start-up time

    return Teams(runtime.database, runtime.settings.of(TeamsSettings))


async def _team(runtime: Runtime, team: str) -> UUID:
    """Return the id of the team with this slug or id.

    Raises:
        NotFound: 404.
    """
    from modules.teams.repositories import TeamRepository  # noqa: PLC0415 start-up time

    async with runtime.database.unit_of_work() as work:
        found = await TeamRepository(work).find_named(team)
    if found is None:
        raise NotFound(f"No team has the slug or id {team}.")
    return found.id


async def _user(runtime: Runtime, user: str) -> UUID:
    """Return the id of the user with this mail address or id.

    Raises:
        NotFound: 404.
    """
    from modules.rbac import AccessRepository  # noqa: PLC0415 start-up time

    async with runtime.database.unit_of_work() as work:
        found = await AccessRepository(work).find_user(user)
    if found is None:
        raise NotFound(f"No user has the id or mail address {user}.")
    return found
