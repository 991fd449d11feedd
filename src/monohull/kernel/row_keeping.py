"""Once a minute, in every worker: make triggers fit tables that were altered since somebody watches them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from monohull.kernel.observation import Observation
from monohull.kernel.rows import sync_watches
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

INTERVAL_SECONDS: Final = 60.0


class RowWatchesNotKept(Observation, frozen=True, kw_only=True):
    """Triggers of watched tables could not be looked after; they write events as they did."""

    event = "rows.watches_not_kept"
    level = "warning"

    reason: str


@asynccontextmanager
async def keeping_row_watches(database: Database, observer: Observer) -> AsyncIterator[None]:
    """Look after the triggers for as long as the block runs."""
    async with beside(_keep(database, observer), name="row watches"):
        yield


async def _keep(database: Database, observer: Observer) -> None:
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            failures = await sync_watches(database)
        except Exception as error:  # noqa: BLE001 the boundary: nobody else would keep them in this process
            failures = [error]
        for failure in failures:
            observer.observe(RowWatchesNotKept(reason=f"{type(failure).__name__}: {failure}"))
