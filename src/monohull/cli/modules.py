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


def module_group(name: str) -> click.Group:
    """Return the commands that modules bring under the verb ``name``, as one group.

    The first module's group gives its help text.
    """
    groups = [module.cli[name]() for module in load_modules(BUILTIN_MODULES) if name in module.cli]
    if not groups:
        raise LookupError(f"no module brings a command called {name!r}")
    whole, *others = sorted(groups, key=lambda group: group.name != name)
    for group in others:
        for command in group.commands.values():
            whole.add_command(command)
    whole.context_settings = {**whole.context_settings, "obj": CommandContext()}
    return whole


keys: click.Group = module_group("keys")
auth: click.Group = module_group("auth")
policy: click.Group = module_group("policy")
audit: click.Group = module_group("audit")
roles: click.Group = module_group("roles")
teams: click.Group = module_group("teams")
jobs: click.Group = module_group("jobs")
schedules: click.Group = module_group("schedules")
tenant: click.Group = module_group("tenant")
webhooks: click.Group = module_group("webhooks")
streams: click.Group = module_group("streams")
ingest: click.Group = module_group("ingest")
gen: click.Group = module_group("gen")
cache: click.Group = module_group("cache")
