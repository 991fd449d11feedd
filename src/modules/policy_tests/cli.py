"""``monohull policy matrix`` and ``monohull policy test``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import click
import msgspec

from modules.policy_tests.differences import compare
from modules.policy_tests.examination import Examination, Scope, examining
from modules.policy_tests.matrix import read, write
from modules.policy_tests.mutation import losses
from modules.policy_tests.project import Declaration, read_declaration
from modules.policy_tests.statements import told
from modules.rest import RestSettings
from monohull.kernel.commands import (
    CommandContext,
    CommandRefused,
    commands_of,
    emit,
    home_option,
    json_option,
    project_option,
    refusals,
)
from monohull.kernel.refusals import writing
from monohull.kernel.settings import read_project

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from modules.policy_tests.differences import Difference
    from modules.policy_tests.matrix import Matrix
    from modules.policy_tests.mutation import Loss
    from monohull.kernel.runtime import Runtime

R = TypeVar("R")


@click.group()
def policy() -> None:
    """Who may do what: the matrix of all policies, and its test."""


@policy.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; - prints it.")
@home_option
@project_option
@click.pass_context
def matrix(context: click.Context, *, out: Path | None, home: Path | None, project: Path | None) -> None:
    """Write who may do what with whose rows to a file for git.

    Makes rows for three people in a transaction that is rolled back, and tries every table as
    every role. The name decides the form: .json, otherwise TOML. Without --out it is the file
    that [policies] names in monohull.toml, else policies.toml beside it.
    """
    job = Job.of(context, home, project)
    found, _ = job.run(_look)
    path = out if out is not None else job.file
    text = write(found, path)
    if str(path) == "-":
        click.echo(text, nl=False)
        return
    with refusals(), writing(path):
        path.write_text(text, encoding="utf-8")
    click.echo(f"{path}: {found.count} cells of {len(found.tables)} tables")


@policy.command()
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="The matrix to compare with.")
@click.option("--mutate", is_flag=True, help="Also drop each policy in turn and see whether it is noticed.")
@json_option
@home_option
@project_option
@click.pass_context
def test(  # noqa: PLR0913 each is an option
    context: click.Context,
    *,
    file: Path | None,
    mutate: bool,
    as_json: bool,
    home: Path | None,
    project: Path | None,
) -> None:
    """Compare the database with the matrix in git; leave with 1 on any difference.

    Names each cell that changed with the policy or grant it comes from. With --mutate every
    policy is dropped once, in the transaction that is rolled back; one whose loss changes no
    cell is a difference too.
    """
    job = Job.of(context, home, project)
    path = file if file is not None else job.file
    kept = job.guarded(lambda: read(path))
    found, lost = job.run(_look_and_mutate if mutate else _look)
    differences = compare(kept, found)
    unnoticed = [loss for loss in lost if loss.cells == 0]
    if as_json:
        document = {"cells": found.count, "differences": differences, "losses": lost}
        emit(document)
    else:
        click.echo(_report(path, found, differences, lost))
    if differences or unnoticed:
        context.exit(1)


class Job(msgspec.Struct, frozen=True):
    """One run of a command: the configuration, and what the project states."""

    commands: CommandContext
    loaded: Any
    declaration: Declaration

    @classmethod
    def of(cls, context: click.Context, home: Path | None, project: Path | None) -> Job:
        commands = commands_of(context)
        loaded = commands.load(home, project)
        declaration = cls.guarded(lambda: read_declaration(read_project(loaded.settings.project)))
        return cls(commands, loaded, declaration)

    @property
    def file(self) -> Path:
        found: Path = self.loaded.settings.project / self.declaration.file
        return found

    @staticmethod
    def guarded(work: Callable[[], R]) -> R:
        """Turn a refusal into one line and its exit code."""
        try:
            with refusals():
                return work()
        except asyncpg.PostgresError as error:
            raise CommandRefused(f"PostgreSQL refuses: {told(error)}", 2) from error

    def run(
        self, look: Callable[[Examination], Awaitable[tuple[Matrix, list[Loss]]]]
    ) -> tuple[Matrix, list[Loss]]:
        """Look at the database of the configuration, as its owner."""
        rest = self.loaded.settings.of(RestSettings)
        scope = Scope(rest.schemas, (*rest.schemas[:1], *rest.extra_search_path))

        async def work(runtime: Runtime) -> tuple[Matrix, list[Loss]]:
            async with (
                runtime.database.connection() as connection,
                examining(connection, scope, self.declaration) as examination,
            ):
                return await look(examination)

        return self.guarded(lambda: self.commands.run(self.loaded, work))


async def _look(examination: Examination) -> tuple[Matrix, list[Loss]]:
    return await examination.look(), []


async def _look_and_mutate(examination: Examination) -> tuple[Matrix, list[Loss]]:
    whole = await examination.look()
    return whole, [loss async for loss in losses(examination, whole)]


def _report(path: Path, found: Matrix, differences: list[Difference], lost: list[Loss]) -> str:
    lines = [difference.text for difference in differences]
    lines += [
        f'{loss.table}: policy "{loss.policy}" could go and no cell would change; it is redundant, or a row '
        "in the state it speaks of is missing ([policies.tables] variants)"
        for loss in lost
        if loss.cells == 0
    ]
    if lost:
        lines.append(f"{sum(1 for loss in lost if loss.cells)} of {len(lost)} policies would be missed")
    if differences:
        lines.append(f"{len(differences)} differences from {path}; `monohull policy matrix` accepts them")
    else:
        lines.append(f"{found.count} cells of {len(found.tables)} tables are as in {path}")
    return "\n".join(lines)
