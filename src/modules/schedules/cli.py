"""``monohull schedules``: what runs by itself, what became of it; pause, resume and run now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from monohull.kernel.commands import emit, home_option, json_option, run
from monohull.kernel.pagination import Page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from modules.schedules.dtos import ScheduleRunView, ScheduleView
    from modules.schedules.services import Schedules
    from monohull.kernel.runtime import Runtime

ALL = Page(10_000)
"""A command prints what there is."""


@click.group(name="schedules", context_settings={"help_option_names": ["-h", "--help"]})
def schedules() -> None:
    """List, pause, resume and run schedules, and see what became of their runs."""


@schedules.command(name="list")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, home: Path | None, as_json: bool) -> None:
    """List the schedules by name, with the time of the next run."""

    async def work(runtime: Runtime) -> Sequence[ScheduleView]:
        return (await _service(runtime).page(ALL))[0]

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for one in found:
        what = one.job or f"statement as {one.database_role}"
        following = "paused" if one.is_paused else one.fault or f"{one.next_at:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{one.name}  {one.schedule} {one.timezone}  {what}  {following}  ({one.source})")


@schedules.command()
@click.option("--schedule", help="Of this schedule alone.")
@click.option("--outcome", help="With this outcome alone, such as failed or missed.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@home_option
@json_option
@click.pass_context
def runs(  # noqa: PLR0913, PLR0917 each is an option
    context: click.Context,
    schedule: str | None,
    outcome: str | None,
    limit: int,
    home: Path | None,
    as_json: bool,
) -> None:
    """List what became of ticks, the latest first."""

    async def work(runtime: Runtime) -> Sequence[ScheduleRunView]:
        return (await _service(runtime).runs(Page(limit), schedule=schedule, outcome=outcome))[0]

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for one in found:
        late = "" if one.late_seconds is None else f"  {one.late_seconds:.1f} s late"
        error = "" if one.error is None else f"  {one.error.splitlines()[0][:100]}"
        click.echo(f"{one.tick:%Y-%m-%d %H:%M:%S}  {one.schedule}  {one.state}{late}{error}")


@schedules.command(name="run")
@click.argument("name")
@home_option
@json_option
@click.pass_context
def run_(context: click.Context, name: str, home: Path | None, as_json: bool) -> None:
    """Have the schedule NAME run once, now; a worker has to be running."""

    async def work(runtime: Runtime) -> ScheduleRunView:
        return await _service(runtime).run(name)

    made = run(context, home, work)
    if as_json:
        emit(made)
    else:
        click.echo(f"run {made.id} of {name} waits for a worker")


@schedules.command()
@click.argument("name")
@home_option
@click.pass_context
def pause(context: click.Context, name: str, home: Path | None) -> None:
    """Have the schedule NAME do nothing until it is resumed."""

    async def work(runtime: Runtime) -> None:
        await _service(runtime).pause(name)

    run(context, home, work)


@schedules.command()
@click.argument("name")
@home_option
@click.pass_context
def resume(context: click.Context, name: str, home: Path | None) -> None:
    """Let the schedule NAME go on; ticks of the pause are not made up for."""

    async def work(runtime: Runtime) -> None:
        await _service(runtime).resume(name)

    run(context, home, work)


def _service(runtime: Runtime) -> Schedules:
    from modules.schedules.building import build_schedules  # noqa: PLC0415 start-up time

    return build_schedules(runtime)
