"""``monohull doctor``: look for what is wrong and say how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from monohull.cli.context import DOES_NOT_HOLD, NOT_REACHABLE, configuration, emit, reports, run_with
from monohull.kernel.commands import home_option, json_option, project_option
from monohull.kernel.diagnosis import Diagnosis, examine

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.runtime import Runtime

MARKS = {"ok": "ok    ", "advice": "advice", "wrong": "WRONG ", "away": "AWAY  "}


@click.command()
@json_option
@home_option
@project_option
@reports
def doctor(*, as_json: bool, home: Path | None, project: Path | None) -> None:
    """Look at the whole installation; leave with 1 when something is wrong, 3 when something is away."""
    found = run_with(configuration(home, project), _examine)
    if as_json:
        emit({"ok": exit_code(found) == 0, "findings": found})
    else:
        for one in found:
            click.echo(f"{MARKS[one.state]}  {one.name}: {one.message}")
    raise SystemExit(exit_code(found))


async def _examine(runtime: Runtime) -> list[Diagnosis]:
    return [one async for one in examine(runtime)]


def exit_code(found: list[Diagnosis]) -> int:
    """Return 3 when a dependency is away, else 1 when something is wrong, else 0."""
    states = {one.state for one in found}
    if "away" in states:
        return NOT_REACHABLE
    return DOES_NOT_HOLD if "wrong" in states else 0
