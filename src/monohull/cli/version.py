"""``monohull version``."""

from __future__ import annotations

import platform

import click

from monohull import __version__
from monohull.cli.context import emit
from monohull.kernel.commands import home_option, json_option


@click.command()
@json_option
@home_option
def version(*, as_json: bool, home: object) -> None:
    """Print the version."""
    del home  # every command takes it
    if as_json:
        emit({"version": __version__, "python": platform.python_version()})
    else:
        click.echo(__version__)
