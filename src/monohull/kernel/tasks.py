"""End a background task for certain."""

from __future__ import annotations

import asyncio
from typing import Any, Final

INSIST_SECONDS: Final = 1.0


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel ``task`` until it is over, and raise what it failed with, if it did.

    One cancellation is not always enough: code in between may swallow it, as
    `asyncio.wait_for` does before Python 3.12 when what it waits for is done at
    that very moment. A loop that goes on then would be awaited for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=INSIST_SECONDS)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
