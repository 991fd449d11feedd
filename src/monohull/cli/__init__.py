"""The ``monohull`` command: one file a verb, each imported when it is called.

Commands start fast and stay small: ``monohull up`` lives as long as the product
and must not hold a web framework in memory, so `LazyGroup` imports a verb's
module only when that verb is used. Modules hang their own groups on by
``Module.cli``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from monohull import __version__

COMMANDS: Final = {
    "up": ("monohull.cli.up", "Everything on one machine: database, Redis, migrations, API, worker."),
    "serve": ("monohull.cli.serve", "The API process alone."),
    "worker": ("monohull.cli.worker", "The job worker alone."),
    "migrate": ("monohull.cli.migrate", "Apply platform and project migrations."),
    "init": ("monohull.cli.init", "Create a new project."),
    "status": ("monohull.cli.status", "What runs for this home."),
    "keys": ("monohull.cli.modules", "API keys: show, create, revoke; signing keys: list, rotate, retire."),
    "auth": ("monohull.cli.modules", "Users: take them over from another product."),
    "policy": (
        "monohull.cli.modules",
        "Policies: explain a refusal, their matrix and its test.",
    ),
    "audit": ("monohull.cli.modules", "The audit log: list, export, verify, checkpoint, track."),
    "roles": ("monohull.cli.modules", "Roles: list, create, assign, revoke; the first owner."),
    "teams": ("monohull.cli.modules", "Teams: list, create, delete, and who is in them."),
    "jobs": ("monohull.cli.modules", "Jobs: list, show, enqueue, cancel and retry."),
    "schedules": ("monohull.cli.modules", "Schedules: list, run, pause, resume, and their runs."),
    "tenant": ("monohull.cli.modules", "Tenants: give the rows of a table to teams."),
    "webhooks": ("monohull.cli.modules", "Webhooks: account for every event, list endpoints."),
    "streams": (
        "monohull.cli.modules",
        "Sinks that carry events to message brokers: list, make, try, pause, rewind.",
    ),
    "ingest": ("monohull.cli.modules", "Ingest: list sources of messages, pause and resume them."),
    "gen": (
        "monohull.cli.modules",
        "Write types for TypeScript and Python, the OpenAPI document or a Postman collection.",
    ),
    "cache": ("monohull.cli.modules", "The response cache: list, add and remove tables."),
    "doctor": ("monohull.cli.doctor", "Look for what is wrong and say how to mend it."),
    "config": ("monohull.cli.config", "Check the configuration."),
    "version": ("monohull.cli.version", "Print the version."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports them on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        from monohull.kernel.heap import loading  # noqa: PLC0415 start-up time

        with loading():
            found = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Monohull: a complete self-hosted backend in one hull."""
