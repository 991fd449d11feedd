"""One application and one receiver for all tests of a file: each makes endpoints of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.integration.auth.conftest import shared_connections  # noqa: F401 found by name
from tests.integration.webhooks.office import Office, open_office
from tests.integration.webhooks.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(shared_connections: Connections) -> AsyncIterator[Office]:  # noqa: F811 as pytest has it
    async with Receiver().listening() as receiver, open_office(shared_connections, receiver) as office:
        yield office
