"""One application for all tests of a file: each makes sinks of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from monohull.kernel.redis_connection import close_redis, open_redis
from tests.integration.auth.conftest import shared_connections  # noqa: F401 found by name
from tests.integration.streams.dock import Dock, open_dock
from tests.patience import PATIENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from monohull.kernel.home import Connections


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dock(shared_connections: Connections) -> AsyncIterator[Dock]:  # noqa: F811 as pytest has it
    async with open_dock(shared_connections) as dock:
        yield dock


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def redis(shared_connections: Connections) -> AsyncIterator[Redis]:  # noqa: F811 as pytest has it
    """A client of the Redis that the tests have as a broker."""
    client = open_redis(shared_connections.redis_url, timeouts=PATIENT)
    yield client
    await close_redis(client)
