"""What the commands of modules share: options, a runtime to work with, a line and an exit code if refused.

Exit codes are those of the contract, as in `monohull.cli.context`, which hands
modules' commands a `CommandContext`.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import click
import msgspec

from monohull.kernel.errors import Problem, Unavailable
from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from monohull.kernel.configuration import Configuration
    from monohull.kernel.runtime import Runtime

R = TypeVar("R")

DOES_NOT_HOLD: Final = 1
NOT_REACHABLE: Final = 3

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the embedded services and secrets.",
)
project_option = click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of monohull.toml.",
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


def commands_of(context: click.Context) -> CommandContext:
    """Return what the ``monohull`` command handed over."""
    return cast("CommandContext", context.obj)


def run(
    context: click.Context,
    home: Path | None,
    work: Callable[[Runtime], Awaitable[R]],
    *,
    project: Path | None = None,
) -> R:
    """Run ``work`` with the database and Redis of the configuration.

    Raises:
        CommandRefused: With the exit code of what was refused.
    """
    commands = commands_of(context)
    loaded = commands.load(home, project)
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
        code = NOT_REACHABLE if isinstance(problem, Unavailable) else DOES_NOT_HOLD
        raise CommandRefused(text, code) from problem


def emit(value: Any) -> None:
    """Print ``value`` as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
