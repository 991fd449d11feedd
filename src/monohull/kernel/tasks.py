"""Background tasks: beside a block for as long as it runs, and ended for certain."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

INSIST_SECONDS: Final = 1.0


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Do ``work`` in a task beside the block, and end it with the block.

    Args:
        work: What to do, usually for ever.
        name: Of the task, for whoever looks at those that run.

    Raises:
        Exception: What the work failed with, once the block is over.
    """
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        await end(task)


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel ``task`` until it is over, and raise what it failed with, if it did.

    One cancellation is not always enough: code in between may swallow it, as
    `asyncio.wait_for` does before Python 3.12 when what it waits for is done at
    that very moment, and redis-py writes each command under it. A loop that goes
    on then would be awaited for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=INSIST_SECONDS)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
