"""A shop with every kind of relation, and the application over it: see `tests.integration.standing`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.application import Served, running_app
from tests.integration.standing import (  # noqa: F401 found by name
    connections,
    database,
    platform_database,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections
    from tests.integration.standing import Standing

SHOP = (Path(__file__).parent / "shop.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    """What the tests of a file find in their database."""
    return (SHOP,)


@asynccontextmanager
async def serving(connections: Connections, **settings: str) -> AsyncIterator[Served]:  # noqa: F811
    """Serve with settings as ``rest_schemas="a,b"``, for one test."""
    async with running_app(connections, **settings) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def shop(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001, F811 a fresh one first
    return await standing.serve()
