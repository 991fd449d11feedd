"""``monohull audit``: verify the log, sign its end, read it."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import click

from monohull.kernel import commands
from monohull.kernel.commands import CommandRefused, emit, home_option, json_option
from monohull.kernel.refusals import cannot_write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from modules.audit.checkpoints import Checkpoint
    from modules.audit.dtos import EntryView
    from modules.audit.exporting import Format
    from modules.audit.paths import Wanted
    from modules.audit.tracking import TrackedTable
    from modules.audit.verification import Verdict
    from monohull.kernel.runtime import Runtime

R = TypeVar("R")

INSTANT: Final = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.group(name="audit", context_settings={"help_option_names": ["-h", "--help"]})
def audit() -> None:
    """Verify, sign, read and export the audit log."""


@audit.command()
@click.option("--partition", help="One month alone, such as 2026_11. Default: the whole log.")
@home_option
@json_option
@click.pass_context
def verify(context: click.Context, partition: str | None, home: Path | None, as_json: bool) -> None:
    """Recompute the chain; leave with 1 and name the first entry that is not as it was."""
    from modules.audit.services import AuditLog  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> Verdict:
        return await AuditLog(runtime.database, runtime.settings).verify(partition)

    try:
        verdict = run(context, home, work)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        emit(verdict)
    elif verdict.fault is None:
        months = f"{verdict.partitions[0]} to {verdict.partitions[-1]}" if verdict.partitions else "no month"
        click.echo(
            f"{verdict.entries} entries and {verdict.checkpoints} checkpoints are as they were ({months})"
        )
    else:
        click.echo(f"{verdict.fault.kind}: {verdict.fault.message}", err=True)
    context.exit(0 if verdict.ok else 1)


@audit.command()
@home_option
@json_option
@click.pass_context
def checkpoint(context: click.Context, home: Path | None, as_json: bool) -> None:
    """Sign the end of the chain now."""
    from modules.audit.services import AuditLog  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> Checkpoint | None:
        return await AuditLog(runtime.database, runtime.settings).checkpoint()

    made = run(context, home, work)
    if as_json:
        emit(made)
    elif made is None:
        click.echo("nothing was added since the last checkpoint")
    else:
        click.echo(f"entry {made.sequence} of {made.partition} is signed by the key {made.key}")


@audit.command()
@click.argument("tables", nargs=-1)
@home_option
@json_option
@click.pass_context
def track(context: click.Context, tables: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Audit the changed rows of TABLES from now on, direct SQL included; without any, list those that are."""
    from modules.audit.tracking import list_tracked, mark  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> Sequence[TrackedTable]:
        async with runtime.database.connection() as connection:
            for table in tables:
                await mark(connection, table, audited=True)
            return await list_tracked(connection)

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for one in found:
        hidden = f"; without the values of {', '.join(one.hidden)}" if one.hidden else ""
        keys = f"rows named by {', '.join(one.keys)}" if one.keys else "rows without a name: no primary key"
        click.echo(f"{one.name}  {keys}{hidden}")


@audit.command()
@click.argument("tables", nargs=-1, required=True)
@home_option
@click.pass_context
def untrack(context: click.Context, tables: tuple[str, ...], home: Path | None) -> None:
    """Audit the changed rows of TABLES no more. What was recorded stays."""
    from modules.audit.tracking import mark  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> None:
        async with runtime.database.connection() as connection:
            for table in tables:
                await mark(connection, table, audited=False)

    run(context, home, work)


F = TypeVar("F", bound="Callable[..., Any]")


def filters(command: F) -> F:
    """Add the options that say which entries."""
    for option in reversed(
        (
            click.option("--actor", help="Id of the user or the key."),
            click.option("--action", help="A name, or everything below one: auth.*"),
            click.option("--object", "object_", help="What it is about: KIND or KIND:ID."),
            click.option("--request", "request_id", help="Id of the request that caused it."),
            click.option("--since", type=INSTANT, help="Recorded at this time (UTC) or later."),
            click.option("--until", type=INSTANT, help="Recorded before this time (UTC)."),
        )
    ):
        command = option(command)
    return command


def wanted_of(given: dict[str, Any]) -> Wanted:
    """Return the search that the options mean."""
    from modules.audit.paths import Wanted  # noqa: PLC0415 start-up time

    times = {
        name: None if given[name] is None else given[name].replace(tzinfo=UTC) for name in ("since", "until")
    }
    texts = {name: given[name] for name in ("actor", "action", "request_id")}
    return Wanted(object=given["object_"], **texts, **times)


@audit.command(name="list")
@filters
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, /, limit: int, home: Path | None, as_json: bool, **given: Any) -> None:
    """List entries, the newest first."""
    from modules.audit.searching import Search  # noqa: PLC0415 start-up time

    wanted = wanted_of(given)

    async def work(runtime: Runtime) -> Sequence[EntryView]:
        search, behind = Search(runtime.database), None
        listed: list[EntryView] = []
        while True:
            page = await search.page(wanted, limit=limit - len(listed), behind=behind)
            listed += page.entries
            behind = page.behind
            if behind is None or len(listed) == limit:
                return listed

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for entry in found:
        who = entry.actor_kind if entry.actor_id is None else f"{entry.actor_kind} {entry.actor_id}"
        what = "" if entry.object_kind is None else f" {entry.object_kind}:{entry.object_id or ''}"
        where = "" if entry.address is None else f" from {entry.address}"
        click.echo(f"{entry.occurred_at:%Y-%m-%d %H:%M:%S}  {entry.action}{what}  by {who}{where}")


@audit.command(name="export")
@filters
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option(
    "--output", "-o", type=click.File("wb"), default="-", help="Where to. Default: standard output."
)
@home_option
@click.pass_context
def export_(
    context: click.Context, /, form: Format, output: BinaryIO, home: Path | None, **given: Any
) -> None:
    """Write entries, the oldest first, as JSON lines or CSV."""
    from modules.audit.exporting import export  # noqa: PLC0415 start-up time
    from modules.audit.searching import Search  # noqa: PLC0415 start-up time
    from modules.audit.services import AuditLog  # noqa: PLC0415 start-up time

    wanted = wanted_of(given)

    async def work(runtime: Runtime) -> None:
        await AuditLog(runtime.database, runtime.settings).note_export(wanted, form)
        async for part in export(Search(runtime.database), wanted, form):
            output.write(part)

    run(context, home, work)


def run(context: click.Context, home: Path | None, work: Callable[[Runtime], Awaitable[R]]) -> R:
    """Do what `commands.run` does; what is not written is refused too."""
    try:
        return commands.run(context, home, work)
    except OSError as error:
        refused = cannot_write(Path(error.filename or "."), error)
        raise CommandRefused(str(refused), refused.exit_code) from error
