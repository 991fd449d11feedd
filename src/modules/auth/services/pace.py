"""Answer what must not tell whether somebody exists after a time that does not tell either.

The work for a user who exists takes some milliseconds more than finding out
that there is none. So the answer waits for the next tick of a clock that starts
with the request; whatever happened meanwhile, the client sees a multiple of it.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from monohull.kernel.clock import monotonic_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TICK_SECONDS: Final = 0.2
"""Longer than any of these calls takes on a server that is not overloaded: a hash and a few statements."""


@asynccontextmanager
async def even_pace() -> AsyncIterator[None]:
    """Leave the block a whole number of ticks after it was entered, also when it raises."""
    began = monotonic_seconds()
    try:
        yield
    finally:
        spent = monotonic_seconds() - began
        await asyncio.sleep(max(1, math.ceil(spent / TICK_SECONDS)) * TICK_SECONDS - spent)
