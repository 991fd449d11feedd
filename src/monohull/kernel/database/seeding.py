"""Seed a project once: modules' own rows, files loaded with COPY, SQL.

In this order, after the migrations: every module that has a ``seed`` gets the
``[seed]`` table of ``monohull.toml`` (users to sign in as, for example), then
``[seed] copy``, then ``seed.sql`` and ``seed/*.sql``. The ledger remembers each,
so that rows somebody deleted do not come back with the next start.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from sqlalchemy import text

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.apply import Done, ledger_lock, run_files
from monohull.kernel.database.copy_seed import apply_copies, ledger_entry, parse_copies
from monohull.kernel.database.migrations import Patience
from monohull.kernel.database.project import LEDGER, ProjectFile, discover_seeds, plan_seeds, read_ledger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.database.engine import Database
    from monohull.kernel.database.project import Applied

ModuleSeed: TypeAlias = "tuple[str, Callable[[AsyncSession, Mapping[str, Any]], Awaitable[object]]]"
"""A module's name and its `Module.seed`."""

_REMEMBER: Final = text(
    f"INSERT INTO {LEDGER} (project, kind, name, checksum, duration_ms) "  # noqa: S608 a constant
    "VALUES (:project, 'seed', :name, :checksum, :duration_ms) "
    "ON CONFLICT (project, kind, name) DO UPDATE SET checksum = excluded.checksum, "
    "duration_ms = excluded.duration_ms, applied_at = now(), applied_by = excluded.applied_by"
)


async def seed_project(
    database: Database,
    project: Path,
    name: str,
    *,
    document: Mapping[str, Any],
    modules: Iterable[ModuleSeed],
) -> tuple[Done, ...]:
    """Load what was not loaded yet; what succeeded before a failure stays.

    Args:
        database: The owner's.
        project: Folder of ``monohull.toml``.
        name: Of the project, in the ledger.
        document: ``monohull.toml``.
        modules: In the order in which they seed.

    Raises:
        MigrationRefused: Something of it failed.
        DatabaseUnavailable: 503.
    """
    files = discover_seeds(project)
    copies = parse_copies(document)
    table = document.get("seed", {})
    async with ledger_lock(database) as connection:
        due = _due(modules, table, await read_ledger(connection, name))
        done = [await _module(database, name, module, table) for module in due]
    done += await apply_copies(database, project, name, copies)
    async with ledger_lock(database) as connection:
        pending = plan_seeds(files, await read_ledger(connection, name))
        done += await run_files(connection, name, pending, Patience())
    return tuple(done)


def pending_seeds(
    project: Path, applied: Sequence[Applied], *, document: Mapping[str, Any], modules: Iterable[ModuleSeed]
) -> tuple[str, ...]:
    """Name what `seed_project` would load.

    Raises:
        MigrationRefused: A seed cannot be read.
    """
    table = document.get("seed", {})
    names = [f"[seed] {module}" for module, _ in _due(modules, table, applied)]
    copies = [ledger_entry(copy) for copy in parse_copies(document)]
    return (*names, *(file.name for file in plan_seeds([*copies, *discover_seeds(project)], applied)))


def _due(
    modules: Iterable[ModuleSeed], table: Mapping[str, Any], applied: Iterable[Applied]
) -> list[ModuleSeed]:
    """Return the modules that have not seen this ``[seed]`` table yet."""
    if not table:
        return []
    seen = {row.name: row.checksum for row in applied if row.version is None}
    checksum = _marker("", table).checksum
    return [(name, seed) for name, seed in modules if seen.get(f"[seed] {name}") != checksum]


def _marker(name: str, value: Any) -> ProjectFile:
    """Describe something that is no file, so that the ledger can remember it like one."""
    written = msgspec.json.encode(value, order="deterministic")
    return ProjectFile(name, None, written.decode(), hashlib.sha256(written).hexdigest())


async def _module(database: Database, project: str, module: ModuleSeed, table: Mapping[str, Any]) -> Done:
    name, seed = module
    marker = _marker(f"[seed] {name}", table)
    started = monotonic_seconds()
    async with database.unit_of_work() as session:
        await seed(session, table)
        took = round((monotonic_seconds() - started) * 1000)
        row = {"project": project, "name": marker.name, "checksum": marker.checksum, "duration_ms": took}
        await session.execute(_REMEMBER, row)
    return Done(marker.name, took)
