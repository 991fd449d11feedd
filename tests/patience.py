"""How long tests wait, and how they wait for what tells nobody when it happens."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.redis_connection import RedisTimeouts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PATIENCE_SECONDS: Final = 120.0
"""Bounds what hangs, and nothing else: no test says with it how fast something has to be."""
PAUSE_SECONDS: Final = 0.02
PATIENT: Final = RedisTimeouts(connect=60.0, read=60.0, pool=60.0)
"""For clients of tests that prepare or look: a machine that stalls for a second is no finding."""


@overload
async def eventually(
    look: Callable[[], Awaitable[T]],
    holds: Callable[[T], object] = bool,
    *,
    said: Callable[[], object] | None = None,
) -> T: ...
@overload
async def eventually(
    look: Callable[[], T], holds: Callable[[T], object] = bool, *, said: Callable[[], object] | None = None
) -> T: ...
async def eventually(
    look: Callable[[], Any],
    holds: Callable[[Any], object] = bool,
    *,
    said: Callable[[], object] | None = None,
) -> Any:
    """Look again and again until what is seen holds, and return it.

    Args:
        look: What to look at; it may be a coroutine function.
        holds: Whether this is what was waited for.
        said: Told when it does not happen; what was seen at last, unless given.
    """
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    while True:
        found = look()
        if inspect.isawaitable(found):
            found = await found
        if holds(found):
            return found
        if monotonic_seconds() > deadline:
            raise AssertionError(f"it did not happen: {said() if said else found!r}")
        await asyncio.sleep(PAUSE_SECONDS)
