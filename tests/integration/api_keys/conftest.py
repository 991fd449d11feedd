"""A small shop that keys are tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.application import Served, running_app
from tests.integration.api_keys.keyring import SHOP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections


@pytest.fixture
async def database(platform_database: str) -> AsyncIterator[asyncpg.Connection]:
    """The test's database, as the superuser."""
    connection = await asyncpg.connect(platform_database)
    await connection.execute(SHOP)
    yield connection
    await connection.close()


@pytest.fixture
async def shop(database: asyncpg.Connection, connections: Connections) -> AsyncIterator[Served]:  # noqa: ARG001 filled first
    async with running_app(connections) as served:
        yield served
