"""Messages that are under way at the same time, each acknowledged by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from modules.streams.transports.protocols import NotTaken

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable


async def all_taken(publishing: Iterable[Coroutine[object, object, None]]) -> None:
    """Return when all are acknowledged.

    A library that loses its connection may cancel what waits for an acknowledgement. A `asyncio.TaskGroup`
    takes a task that ends so for one that is over, and the message would count as taken.

    Raises:
        ExceptionGroup: One was not.
    """
    async with asyncio.TaskGroup() as group:
        for one in publishing:
            group.create_task(_taken(one))


async def _taken(publishing: Coroutine[object, object, None]) -> None:
    try:
        await publishing
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise NotTaken("the connection was lost before the broker had acknowledged all") from None
