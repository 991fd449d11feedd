"""Commands that modules bring: the group is made when the command is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from monohull.cli.context import configuration, run_with
from monohull.kernel.module import load_modules
from monohull.kernel.settings import BUILTIN_MODULES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import click

    from monohull.kernel.configuration import Configuration
    from monohull.kernel.runtime import Runtime

R = TypeVar("R")


class CommandContext(Struct, frozen=True):
    """``ctx.obj`` of a module's commands.

    A command loads the configuration itself, since ``--home`` is its own option.
    """

    def load(self, home: Path | None = None, project: Path | None = None) -> Configuration:
        """Read settings and modules; leaves with 2 when they do not hold."""
        return configuration(home, project)

    def run(self, loaded: Configuration, work: Callable[[Runtime], Awaitable[R]]) -> R:
        """Open a runtime, run ``work`` with it, close it."""
        return run_with(loaded, work)


def module_command(name: str) -> click.Command:
    """Return the command that the module called ``name`` brings."""
    for module in load_modules(BUILTIN_MODULES):
        if module.name == name and module.cli is not None:
            return module.cli()
    raise LookupError(f"no module called {name!r} brings a command")


def _keys() -> click.Command:
    command = module_command("api_keys")
    command.context_settings = {**command.context_settings, "obj": CommandContext()}
    return command


keys: click.Command = _keys()
