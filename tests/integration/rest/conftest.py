"""A shop with every kind of relation, and the application over it: see `tests.integration.standing`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from modules.rest.cache.memcached import Memcached
from tests.application import Served, running_app
from tests.integration.standing import (  # noqa: F401 found by name
    connections,
    database,
    platform_database,
    standing,
)
from tests.patience import PATIENCE_SECONDS, PATIENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from monohull.kernel.home import Connections
    from tests.integration.standing import Standing

UNHURRIED: Final = {"rest_cache_bound_seconds": "60"}
"""For what is no matter of time: what was heard of commits is proven for so long, also where all stalls."""
SHOP = (Path(__file__).parent / "shop.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    """What the tests of a file find in their database."""
    return (SHOP,)


@pytest.fixture(scope="module")
def beats() -> Iterator[None]:
    """Have the cache look with the bound of `UNHURRIED` as often as it does with that of every day."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modules.rest.cache.line.BEATS", 180)
        yield


@pytest.fixture(scope="module")
def patient_keepers() -> Iterator[None]:
    """Let the servers that answers are shared through be slow: a quarter of a second is soon over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modules.rest.cache.keepers.TIMEOUTS", PATIENT)
        patch.setattr(Memcached.__init__, "__defaults__", (PATIENCE_SECONDS,))
        yield


@asynccontextmanager
async def serving(connections: Connections, **settings: str) -> AsyncIterator[Served]:  # noqa: F811
    """Serve with settings as ``rest_schemas="a,b"``, for one test."""
    async with running_app(connections, **settings) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def shop(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001, F811 a fresh one first
    return await standing.serve()
