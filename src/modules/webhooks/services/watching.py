"""Which tables an endpoint watches: asked of the kernel in the transaction that keeps the endpoint.

Watches are changed before the fan-out's place is locked, so that a table which somebody holds is waited
for here and not by all deliveries. The kernel lets one at a time change watches: what is read of the
endpoint after `unwatch` is what those who came before have left.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from modules.webhooks.dtos import RowSubscription
from modules.webhooks.matching import watcher_of
from modules.webhooks.models import WebhookEndpoint
from modules.webhooks.services.rules import demand_rows
from monohull.kernel.database.engine import driver_error
from monohull.kernel.errors import Unavailable
from monohull.kernel.rows import unwatch, watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


@asynccontextmanager
async def watching(database: Database) -> AsyncIterator[AsyncSession]:
    """Open a unit of work that may change watches.

    Raises:
        Unavailable: 503, a table is in use for longer than the kernel waits.
    """
    try:
        async with database.unit_of_work() as work:
            yield work
    except DBAPIError as error:
        if not isinstance(driver_error(error), asyncpg.LockNotAvailableError):
            raise
        raise Unavailable(
            "A table that is watched is in use by a long transaction; ask again when that is over.",
            retry_after_seconds=10,
        ) from error


async def watch_rows(work: AsyncSession, endpoint_id: UUID, rows: Sequence[RowSubscription]) -> None:
    """Have an endpoint told of these tables' rows from the commit on, besides those it watches.

    Raises:
        RowsNotWatchable: 400.
    """
    for one in rows:
        await watch(
            work,
            watcher=watcher_of(endpoint_id),
            relation=(one.schema, one.table),
            operations=tuple(one.operations),
            columns=one.columns,
            condition=one.condition,
        )


async def unwatch_rows(work: AsyncSession, endpoint_id: UUID) -> None:
    """Have an endpoint told of no more rows."""
    await unwatch(work, watcher=watcher_of(endpoint_id))


async def fit_watches(
    work: AsyncSession, endpoint_id: UUID, given: Mapping[str, Any], by: Principal | None
) -> None:
    """Have an endpoint watch what it asks for if it is enabled, and nothing otherwise.

    Args:
        work: The place of the fan-out is not locked in it.
        endpoint_id: Whose watches.
        given: ``rows`` and ``is_enabled`` as they are to be, where they change.
        by: Who asks; None where nobody does and the endpoint is as it was allowed to be.

    Raises:
        Forbidden: 403. RowsNotWatchable: 400.
    """
    await _wanted(work, endpoint_id, given, by)  # who may not is refused before any writer waits
    await unwatch_rows(work, endpoint_id)
    await watch_rows(work, endpoint_id, await _wanted(work, endpoint_id, given, by))


async def _wanted(
    work: AsyncSession, endpoint_id: UUID, given: Mapping[str, Any], by: Principal | None
) -> Sequence[RowSubscription]:
    columns = select(WebhookEndpoint.rows, WebhookEndpoint.is_enabled)
    found = (await work.execute(columns.where(WebhookEndpoint.id == endpoint_id))).one_or_none()
    if found is None:
        return ()
    present = msgspec.convert(found.rows, tuple[RowSubscription, ...])
    rows: Sequence[RowSubscription] = given.get("rows", present)
    wanted = rows if given.get("is_enabled", found.is_enabled) else ()
    if by is not None:
        demand_rows(by, (*present, *rows), wanted)
    return wanted
