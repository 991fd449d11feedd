"""One application a test, with nobody in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.application import running_app
from tests.integration.rbac.staff import Staff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

RELAXED = {"auth_rate_limit_otp": "100000", "auth_rate_limit_token_refresh": "100000"}


@pytest.fixture
async def staff(connections: Connections) -> AsyncIterator[Staff]:
    async with running_app(connections, **RELAXED) as served:
        yield Staff(served)
