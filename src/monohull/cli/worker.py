"""``monohull worker``: the job worker, the process that ``saq monohull.worker.settings`` runs too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from monohull.cli.context import core_settings, reports
from monohull.kernel.commands import home_option, project_option
from monohull.kernel.heap import begin_loading

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--concurrency", type=click.IntRange(1, 1000), help="Jobs at the same time, per queue.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Serve this queue alone; repeatable.")
@home_option
@project_option
@reports
def worker(
    *, concurrency: int | None, queues: tuple[str, ...], home: Path | None, project: Path | None
) -> None:
    """Run jobs until a signal stops it."""
    if project is not None:
        os.chdir(project)
    core_settings(home=home, worker_concurrency=concurrency, worker_queues=",".join(queues) or None)
    begin_loading()
    from saq.worker import start  # noqa: PLC0415 it loads much, and the collector has to rest by then

    start("monohull.worker.settings")
