"""A database in which requests come to nothing, each for another reason."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.integration.standing import (  # noqa: F401 found by name
    connections,
    database,
    platform_database,
    standing,
)

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.standing import Standing

REFUSALS = (Path(__file__).parent / "refusals.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    """What the tests of a file find in their database."""
    return (REFUSALS,)


@pytest_asyncio.fixture(loop_scope="module")
async def explaining(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001, F811 a fresh one first
    return await standing.serve()
