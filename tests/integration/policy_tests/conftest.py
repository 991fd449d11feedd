"""Databases whose policies are examined, and the command over them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest
from click.testing import CliRunner, Result
from msgspec import Struct

from modules.policy_tests import Matrix, Scope, examining
from modules.policy_tests.cli import policy
from modules.policy_tests.project import read_declaration
from monohull.kernel.configuration import Configuration, load
from monohull.kernel.runtime import Runtime
from monohull.kernel.settings import read_project
from tests.application import JWT_SECRET
from tests.integration.database.conftest import cluster, pristine  # noqa: F401  found by name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from monohull.kernel.home import Connections

SCOPE: Final = Scope(("public",), ("public", "extensions"))
STOREFRONT: Final = Path(__file__).parents[3] / "examples" / "storefront"
CLUBS: Final = Path(__file__).parent / "clubs"
ENVIRON: Final = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}


class Context(Struct, frozen=True):
    """What the ``monohull`` command hands over, for one database."""

    connections: Connections

    def load(self, home: Path | None = None, project: Path | None = None) -> Configuration:
        del home
        return load(ENVIRON, project=project or Path("/"))

    def run(self, loaded: Configuration, work: Callable[[Runtime], Awaitable[Any]]) -> Any:
        async def inner() -> Any:
            runtime = Runtime(loaded.settings, loaded.modules, self.connections, process="cli")
            async with runtime.running():
                return await work(runtime)

        return asyncio.run(inner())


async def call(connections: Connections, *arguments: str) -> Result:
    """Run ``monohull policy`` with ``arguments`` in a thread, for it brings its own loop."""
    runner = CliRunner()
    return await asyncio.to_thread(runner.invoke, policy, arguments, obj=Context(connections))


async def look(connection: asyncpg.Connection, project: Path) -> Matrix:
    """Return the matrix of the database as it is now."""
    declaration = read_declaration(read_project(project))
    async with examining(connection, SCOPE, declaration) as examination:
        return await examination.look()


async def run_migrations(connection: asyncpg.Connection, project: Path) -> None:
    """Execute the SQL files of ``project``."""
    for file in sorted((project / "migrations").iterdir()):
        await connection.execute(file.read_text(encoding="utf-8"))


@pytest.fixture
async def database(platform_database: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner's connection to a database with the platform schema and nothing else."""
    connection = await asyncpg.connect(platform_database)
    yield connection
    await connection.close()


@pytest.fixture(params=[STOREFRONT, CLUBS], ids=["storefront", "clubs"])
async def project(request: pytest.FixtureRequest, database: asyncpg.Connection) -> Path:
    """A project whose tables are in the database."""
    folder: Path = request.param
    await run_migrations(database, folder)
    return folder
