"""``monohull migrate``: the platform's migrations, then the project's own, then its seed if asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from monohull.cli.context import DOES_NOT_HOLD, configuration, emit, reports
from monohull.kernel.commands import home_option, json_option, project_option
from monohull.kernel.crypto import derive_password
from monohull.kernel.database import apply, migrations, project, seeding
from monohull.kernel.database.engine import Database
from monohull.kernel.database.server import LOGIN, ensure_schemas_possible, read_server
from monohull.kernel.home import Home, jwt_secret, owner_url
from monohull.kernel.settings import read_project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from monohull.kernel.configuration import Configuration
    from monohull.kernel.database.apply import Done
    from monohull.kernel.database.migrations import Revision
    from monohull.kernel.database.seeding import ModuleSeed

APPLICATION: Final = "monohull-migrate"


class Outcome(Struct, frozen=True, kw_only=True):
    """What `migrate` did, or in a dry run would do.

    Attributes:
        platform: Revisions of the platform's schema.
        project: Files of the project's ``migrations/``.
        seeds: What was loaded.
        is_dry_run: Nothing was changed.
    """

    platform: Sequence[Revision]
    project: Sequence[Done]
    seeds: Sequence[Done]
    is_dry_run: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.platform or self.project or self.seeds)


@click.command()
@click.option(
    "--dry-run", is_flag=True, help="Show what is pending and change nothing; leave with 1 when something is."
)
@click.option(
    "--seed", "with_seed", is_flag=True, help="Load the project's seed too, if it was not loaded yet."
)
@json_option
@home_option
@project_option
@reports
def migrate(
    *, dry_run: bool, with_seed: bool, as_json: bool, home: Path | None, project: Path | None
) -> None:
    """Apply platform and project migrations; leave with 0 only when all are applied."""
    loaded = configuration(home, project)
    work = preview(loaded, with_seed=with_seed) if dry_run else run(loaded, with_seed=with_seed)
    outcome = asyncio.run(work)
    if as_json:
        emit(outcome)
    else:
        for line in describe(outcome):
            click.echo(line)
    if dry_run and not outcome.is_empty:
        raise SystemExit(DOES_NOT_HOLD)


async def run(loaded: Configuration, *, with_seed: bool = False) -> Outcome:
    """Bring the configured database up to date.

    Raises:
        MigrationRefused: Something does not hold; what was applied before stays.
        DatabaseUnavailable: The database is not reachable.
        NothingRuns: No database is configured and none runs for the home.
    """
    settings = loaded.settings
    home = Home(settings.home)
    document = read_project(settings.project)
    name = project.project_name(document)
    login = migrations.Login(
        derive_password(jwt_secret(settings, home), LOGIN), is_reset=settings.core.database_url is None
    )
    database = Database(owner_url(settings, home), pool_size=1, application_name=APPLICATION)
    async with database.running():
        platform = await migrations.upgrade(database, login)
        files = await apply.apply(database, settings.project, name)
        seeds: tuple[Done, ...] = ()
        if with_seed:
            seeds = await seeding.seed_project(
                database, settings.project, name, document=document, modules=module_seeds(loaded)
            )
    return Outcome(platform=platform, project=files, seeds=seeds)


async def preview(loaded: Configuration, *, with_seed: bool = False) -> Outcome:
    """Say what `run` would do.

    Raises:
        MigrationRefused: `run` would be refused before it applied anything.
        DatabaseUnavailable: The database is not reachable.
        NothingRuns: No database is configured and none runs for the home.
    """
    settings = loaded.settings
    document = read_project(settings.project)
    name = project.project_name(document)
    database = Database(owner_url(settings, Home(settings.home)), pool_size=1, application_name=APPLICATION)
    async with database.running():
        async with database.connected() as connection:
            ensure_schemas_possible(await connection.run_sync(read_server))
        platform = await migrations.pending(database)
        async with database.connection() as raw:
            applied = await project.read_ledger(raw, name)
    files = project.plan(project.discover(settings.project), applied)
    for file in files:
        apply.check(file)
    names: tuple[str, ...] = ()
    if with_seed:
        names = seeding.pending_seeds(
            settings.project, applied, document=document, modules=module_seeds(loaded)
        )
    return Outcome(
        platform=platform,
        project=[apply.Done(file.name, 0) for file in files],
        seeds=[apply.Done(seed, 0) for seed in names],
        is_dry_run=True,
    )


def module_seeds(loaded: Configuration) -> list[ModuleSeed]:
    """Return the modules that seed; none in production, where a known password has no place."""
    if loaded.settings.core.is_production:
        return []
    return [(module.name, module.seed) for module in loaded.modules if module.seed is not None]


def describe(outcome: Outcome) -> list[str]:
    """Return one line for each thing done, or a line that says there was nothing to do."""
    if outcome.is_empty:
        return ["Nothing to do: the database is up to date."]
    if outcome.is_dry_run:
        lines = [f"platform  would apply {one.id}: {one.title}" for one in outcome.platform]
        lines += [f"project   would apply {one.name}" for one in outcome.project]
        return lines + [f"seed      would load {one.name}" for one in outcome.seeds]
    lines = [f"platform  applied {one.id}: {one.title}" for one in outcome.platform]
    lines += [f"project   applied {one.name} ({one.duration_ms} ms)" for one in outcome.project]
    return lines + [f"seed      loaded {one.name} ({one.duration_ms} ms)" for one in outcome.seeds]
