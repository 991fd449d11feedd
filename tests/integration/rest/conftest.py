"""A shop with every kind of relation, and the application over it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.application import Served, running_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

SHOP = (Path(__file__).parent / "shop.sql").read_text(encoding="utf-8")


@pytest.fixture
async def database(platform_database: str) -> AsyncIterator[asyncpg.Connection]:
    """The test's database, as the superuser."""
    connection = await asyncpg.connect(platform_database)
    await connection.execute(SHOP)
    yield connection
    await connection.close()


@asynccontextmanager
async def serving(connections: Connections, **settings: str) -> AsyncIterator[Served]:
    """Serve with settings as ``rest_schemas="a,b"``."""
    async with running_app(connections, **settings) as served:
        yield served


@pytest.fixture
async def shop(database: asyncpg.Connection, connections: Connections) -> AsyncIterator[Served]:  # noqa: ARG001 filled first
    async with serving(connections) as served:
        yield served
