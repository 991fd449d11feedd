"""One database for all tests of a file, and an application that has a job of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.application import running_app
from tests.integration.auth.conftest import shared_connections  # noqa: F401 found by name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections
    from tests.application import Served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(shared_connections: Connections) -> AsyncIterator[Served]:  # noqa: F811 as pytest has it
    async with running_app(shared_connections, modules="tests.integration.schedules.shop") as served:
        yield served
