"""One application for all tests of a file: they make teams and people of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.application import running_app
from tests.integration.auth.conftest import RELAXED, shared_connections  # noqa: F401 found by name
from tests.integration.teams.clubs import Clubs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clubs(shared_connections: Connections) -> AsyncIterator[Clubs]:  # noqa: F811 as pytest has it
    async with running_app(shared_connections, **RELAXED) as served:
        yield Clubs(served)
