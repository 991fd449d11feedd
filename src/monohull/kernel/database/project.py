"""The user's own migrations: plain SQL files, applied once, in order.

``migrations/NNNN_name.sql``, or ``YYYYMMDDHHMMSS_name.sql`` as Supabase's
command line names them. Each file is a transaction and is written into the
ledger, ``monohull.project_migrations``, with its checksum; what was applied
must not change any more, and nothing may slip in below it. A file that begins
with the comment ``-- monohull: no-transaction`` is run statement by statement.
"""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from monohull.kernel.database.errors import MigrationRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import asyncpg

FOLDER: Final = "migrations"
LEDGER: Final = "monohull.project_migrations"
NO_TRANSACTION: Final = re.compile(r"--\s*monohull:\s*no-transaction\s*$", re.IGNORECASE)
DEFAULT_NAME: Final = "default"
"""Of a project whose ``monohull.toml`` says none."""

SHORT_DIGITS: Final = 4

_FILE_NAME: Final = re.compile(r"(?P<version>[0-9]{4}|[0-9]{14})_[\w.-]*\w\.sql", re.ASCII)


class ProjectFile(Struct, frozen=True):
    r"""An SQL file of the project.

    Attributes:
        name: File name, for a seed with its folder.
        version: The number it begins with; None for a seed.
        text: With ``\n`` at the end of lines, whatever the file has.
        checksum: SHA-256 of ``text``, hexadecimal.
    """

    name: str
    version: int | None
    text: str
    checksum: str

    @property
    def is_transactional(self) -> bool:
        """Whether no comment before the first statement says otherwise."""
        for line in self.text.splitlines():
            if NO_TRANSACTION.match(line.strip()):
                return False
            if line.strip() and not line.strip().startswith("--"):
                return True
        return True


class Applied(Struct, frozen=True):
    """A row of the ledger."""

    name: str
    version: int | None
    checksum: str
    applied_at: datetime


def discover(project: Path) -> tuple[ProjectFile, ...]:
    """Read the files in ``project/migrations`` in their order; empty when there is no such folder.

    Raises:
        MigrationRefused: With a line for each file that is misnamed, unreadable or numbered twice,
            and for each number that is left out.
    """
    folder = project / FOLDER
    if not folder.is_dir():
        return ()
    faults: list[str] = []
    found: list[ProjectFile] = []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() == ".sql"):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            faults.append(
                f"{FOLDER}/{path.name} is not named NNNN_name.sql (four digits) "
                "or YYYYMMDDHHMMSS_name.sql; rename it"
            )
            continue
        try:
            found.append(read_file(path, path.name, int(match["version"])))
        except MigrationRefused as refused:
            faults.append(str(refused))
    found.sort(key=lambda file: file.version or 0)
    faults += [*_doubles(found), *_holes(found)]
    if faults:
        raise MigrationRefused("\n".join(faults))
    return tuple(found)


def discover_seeds(project: Path) -> tuple[ProjectFile, ...]:
    """Read ``seed.sql`` and ``seed/*.sql``, in this order.

    Raises:
        MigrationRefused: A file is not readable.
    """
    single = project / "seed.sql"
    several = sorted((project / "seed").glob("*.sql")) if (project / "seed").is_dir() else []
    paths = [*([single] if single.is_file() else []), *several]
    return tuple(read_file(path, path.relative_to(project).as_posix(), None) for path in paths)


def read_file(path: Path, name: str, version: int | None) -> ProjectFile:
    """Read one file.

    The byte order mark and the kind of line ends are no part of the checksum:
    version control changes them from one machine to the next.

    Raises:
        MigrationRefused: It is not readable as UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise MigrationRefused(f"{name} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise MigrationRefused(f"{name} cannot be read: {error.strerror}") from error
    if "\0" in text:
        raise MigrationRefused(f"{name} holds a zero byte, which SQL cannot have")
    return ProjectFile(name, version, text, hashlib.sha256(text.encode()).hexdigest())


def _doubles(files: Sequence[ProjectFile]) -> list[str]:
    return [
        f"{first.name} and {second.name} have the same number; give the newer one another"
        for first, second in pairwise(files)
        if first.version == second.version
    ]


def _holes(files: Sequence[ProjectFile]) -> list[str]:
    """Numbers of four digits count on; a hole is a file that somebody forgot to add."""
    short = [file for file in files if file.name[SHORT_DIGITS] == "_"]
    return [
        f"{(first.version or 0) + 1:04} is missing between {first.name} and {second.name}; "
        "add that file, or number the later ones without a gap"
        for first, second in pairwise(short)
        if (second.version or 0) > (first.version or 0) + 1
    ]


def plan(files: Sequence[ProjectFile], applied: Iterable[Applied]) -> tuple[ProjectFile, ...]:
    """Return the files that are still to be applied.

    Raises:
        MigrationRefused: With a line for every contradiction between folder and ledger.
    """
    ledger = {row.version: row for row in applied if row.version is not None}
    by_version = {file.version: file for file in files}
    newest = max(ledger, default=-1)
    faults = [
        f"{row.name} was applied on {row.applied_at:%Y-%m-%d} and is missing now; bring the file back "
        "(it is needed to build this schema elsewhere)"
        for version, row in sorted(ledger.items())
        if version not in by_version
    ]
    pending: list[ProjectFile] = []
    for file in files:
        row = ledger.get(file.version or 0)
        if row is None and (file.version or 0) < newest:
            faults.append(
                f"{file.name} is new but stands before {ledger[newest].name}, which is applied already; "
                f"give it a number above {_written(newest)}"
            )
        elif row is None:
            pending.append(file)
        elif row.checksum != file.checksum:
            faults.append(
                f"{file.name} was changed after it had been applied on {row.applied_at:%Y-%m-%d}; "
                "put the old text back and write the change as a new file"
            )
    if faults:
        raise MigrationRefused("\n".join(faults))
    return tuple(pending)


def _written(version: int) -> str:
    return f"{version:04}"


def plan_seeds(seeds: Iterable[ProjectFile], applied: Iterable[Applied]) -> tuple[ProjectFile, ...]:
    """Return the seeds that never ran; one that was changed since stays as it ran."""
    done = {row.name for row in applied if row.version is None}
    return tuple(seed for seed in seeds if seed.name not in done)


async def read_ledger(connection: asyncpg.Connection, project: str) -> tuple[Applied, ...]:
    """Return what was applied for ``project``; nothing where the ledger does not exist yet."""
    if await connection.fetchval(f"SELECT to_regclass('{LEDGER}')") is None:
        return ()
    rows = await connection.fetch(
        f"SELECT name, version, checksum, applied_at FROM {LEDGER} "  # noqa: S608 a constant
        "WHERE project = $1 ORDER BY version NULLS LAST, applied_at",
        project,
    )
    return tuple(Applied(*row) for row in rows)


def project_name(document: Mapping[str, object]) -> str:
    """Return ``[project] name`` of ``monohull.toml``: whose rows of the ledger are meant.

    Raises:
        MigrationRefused: It is no name.
    """
    table = document.get("project", {})
    name = table.get("name", DEFAULT_NAME) if isinstance(table, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise MigrationRefused('[project] name in monohull.toml is not a text; write name = "shop"')
    return name
