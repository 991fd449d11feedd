"""A database in which requests come to nothing, each for another reason."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.application import Served, running_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

REFUSALS = (Path(__file__).parent / "refusals.sql").read_text(encoding="utf-8")


@pytest.fixture
async def database(platform_database: str) -> AsyncIterator[asyncpg.Connection]:
    """The test's database, as the superuser."""
    connection = await asyncpg.connect(platform_database)
    await connection.execute(REFUSALS)
    yield connection
    await connection.close()


@pytest.fixture
async def explaining(database: asyncpg.Connection, connections: Connections) -> AsyncIterator[Served]:  # noqa: ARG001 filled first
    async with running_app(connections) as served:
        yield served
