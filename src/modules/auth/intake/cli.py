"""``monohull auth import``: take over users from another product."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from monohull.kernel.commands import emit, home_option, json_option, run
from monohull.kernel.refusals import WrongSetup, writing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import BinaryIO, TextIO

    from modules.auth.intake.records import Entry
    from modules.auth.intake.report import Report
    from monohull.kernel.runtime import Runtime

KINDS: Final = ("gotrue", "csv", "jsonl", "firebase", "auth0")
STDIN: Final = "-"


@click.group()
def auth() -> None:
    """Users: take them over from elsewhere."""


@auth.command(name="import")
@click.argument("source")
@click.option("--from", "kind", type=click.Choice(KINDS), required=True, help="What SOURCE is.")
@click.option("--dry-run", is_flag=True, help="Do everything and roll it back; say what would be.")
@click.option(
    "--hash-config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with the password hash parameters that Firebase's console shows.",
)
@click.option(
    "--hashes",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with Auth0's password hashes, where they are not in SOURCE.",
)
@click.option("--drop-unusable-hashes", is_flag=True, help="Take users of unknown hashes without a password.")
@click.option(
    "--refused",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every refusal to this file, a JSON object a line.",
)
@home_option
@json_option
@click.pass_context
def import_users(  # noqa: PLR0913, PLR0917 options
    context: click.Context,
    source: str,
    kind: str,
    dry_run: bool,
    hash_config: Path | None,
    hashes: Path | None,
    drop_unusable_hashes: bool,
    refused: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Take over the users of SOURCE: a file, the URL of a database with --from gotrue, or - for stdin.

    Ids, hashes, identities, metadata and confirmations are kept. Who is there already stays as it is, so
    that a second run changes nothing. Leaves with 0 when everybody is in, and with 1 when some were refused.
    """
    from modules.auth.intake.preparing import Rules  # noqa: PLC0415 start-up time
    from modules.auth.intake.report import Tally, lines  # noqa: PLC0415 start-up time
    from modules.auth.intake.writing import Intake  # noqa: PLC0415 start-up time

    if (hash_config is not None and kind != "firebase") or (hashes is not None and kind != "auth0"):
        raise click.UsageError("--hash-config belongs to --from firebase, --hashes to --from auth0")

    async def work(runtime: Runtime) -> Report:
        with ExitStack() as files:
            details: BinaryIO | None = None
            if refused is not None:
                with writing(refused):
                    details = files.enter_context(refused.open("wb"))
            entries = open_source(kind, source, files, hash_config, hashes)
            tally = Tally(kind, dry_run=dry_run, details=details)
            return await Intake(runtime.database, tally, Rules(drop_unusable_hashes)).run(entries)

    report = run(context, home, work)
    if as_json:
        emit(report)
    else:
        click.echo("\n".join(lines(report)))
    if report.refused:
        context.exit(1)


def open_source(
    kind: str, source: str, files: ExitStack, hash_config: Path | None, hashes: Path | None
) -> AsyncIterator[Entry]:
    """Return what ``source`` tells.

    Raises:
        WrongSetup: A file cannot be read.
    """
    from modules.auth.intake import sources  # noqa: PLC0415 start-up time
    from modules.auth.intake.sources.auth0 import read_hashes  # noqa: PLC0415 start-up time

    if kind == "gotrue":
        return sources.read_gotrue(sys.stdin.readline().strip() if source == STDIN else source)
    stream = sys.stdin if source == STDIN else files.enter_context(reading(Path(source)))
    if kind == "csv":
        return streamed(sources.read_csv(stream), source)
    if kind == "jsonl":
        return streamed(sources.read_jsonl(stream), source)
    if kind == "firebase":
        config = None
        if hash_config is not None:
            with reading(hash_config) as text:
                config = sources.HashConfig.read(text.read(100_000))
        return streamed(sources.read_firebase(stream, config), source)
    known: dict[str, str] = {}
    if hashes is not None:
        with reading(hashes) as second:
            known = read_hashes(second)
    return streamed(sources.read_auth0(stream, known), source)


@contextmanager
def reading(path: Path) -> Iterator[TextIO]:
    """Open a text file.

    Raises:
        WrongSetup: It cannot be opened, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield stream
    except OSError as error:
        raise WrongSetup(f"{path} cannot be read: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise WrongSetup(f"{path} is not UTF-8") from error


async def streamed(entries: Iterator[Entry], source: str) -> AsyncIterator[Entry]:
    """Hand on what a file tells, one entry at a time.

    Raises:
        WrongSetup: The file is not UTF-8.
    """
    try:
        for entry in entries:
            yield entry
    except UnicodeDecodeError as error:
        raise WrongSetup(f"{source} is not UTF-8") from error
