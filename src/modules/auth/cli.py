"""What this module's commands have in common."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import click
import msgspec

from monohull.kernel.errors import Problem, Unavailable
from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from monohull.kernel.configuration import Configuration
    from monohull.kernel.runtime import Runtime

R = TypeVar("R")

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the embedded services and secrets.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class CommandContext(Protocol):
    """What the ``monohull`` command hands to a module's commands."""

    def load(self, home: Path | None = None, project: Path | None = None) -> Configuration:
        """Read settings and modules."""
        ...

    def run(self, loaded: Configuration, work: Callable[[Runtime], Awaitable[R]]) -> R:
        """Run ``work`` with an open runtime."""
        ...


class CommandRefused(click.ClickException):
    """Ends the command with an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class


def run(context: click.Context, home: Path | None, work: Callable[[Runtime], Awaitable[R]]) -> R:
    """Run ``work`` with the database and Redis of the configuration."""
    commands = cast("CommandContext", context.obj)
    loaded = commands.load(home)
    with refusals():
        return commands.run(loaded, work)


@contextmanager
def refusals() -> Iterator[None]:
    """End the command with one line and the exit code of the contract."""
    try:
        yield
    except Refused as error:
        raise CommandRefused(str(error), error.exit_code) from error
    except Problem as problem:
        text = f"{problem.message} {problem.hint or ''}".strip()
        raise CommandRefused(text, 3 if isinstance(problem, Unavailable) else 1) from problem


def emit(value: Any) -> None:
    """Print ``value`` as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
