"""``monohull ingest``: see sources and how they stand, pause them and have them go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from monohull.kernel.commands import emit, home_option, json_option, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from modules.ingest.dtos import SourceView
    from monohull.kernel.runtime import Runtime

ALL: Final = 100_000


@click.group(name="ingest", context_settings={"help_option_names": ["-h", "--help"]})
def ingest() -> None:
    """Ingest: messages taken from brokers into jobs and tables."""


@ingest.command(name="list")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, home: Path | None, as_json: bool) -> None:
    """List all sources and how they stand."""

    async def work(runtime: Runtime) -> Sequence[SourceView]:
        from modules.ingest.assembly import build_sources  # noqa: PLC0415 start-up time

        return await build_sources(runtime).page(ALL, None)

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for one in found:
        lag = "?" if one.lag is None else one.lag
        error = "" if one.state != "failing" else f"  {one.last_error}"
        click.echo(
            f"{one.id}  {one.name:<24}  {one.state:<8}  lag {lag}, {one.dead_letters} dead letters  "
            f"{one.address}{error}"
        )


@ingest.command()
@click.argument("source", type=click.UUID)
@home_option
@click.pass_context
def pause(context: click.Context, source: UUID, home: Path | None) -> None:
    """Take no messages of a source, given by its id, until it is resumed."""
    _switch(context, source, home, is_paused=True)


@ingest.command()
@click.argument("source", type=click.UUID)
@home_option
@click.pass_context
def resume(context: click.Context, source: UUID, home: Path | None) -> None:
    """Have a source go on, given by its id."""
    _switch(context, source, home, is_paused=False)


def _switch(context: click.Context, source: UUID, home: Path | None, *, is_paused: bool) -> None:
    async def work(runtime: Runtime) -> SourceView:
        from modules.ingest.assembly import build_sources  # noqa: PLC0415 start-up time

        return await build_sources(runtime).switch(source, is_paused=is_paused)

    found = run(context, home, work)
    click.echo(f"{found.name} is {found.state}")
