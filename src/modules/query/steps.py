"""Long computations that let others have their turn.

The event loop serves requests, so nothing may keep it for long. A thread would
not help: it takes the interpreter lock from the loop for five milliseconds at a
time. So what takes long is written as a generator that yields wherever it may
be interrupted and returns its result. `in_slices` runs it beside everything
else, `at_once` where nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Final, TypeAlias, TypeVar

from monohull.kernel.clock import monotonic_seconds

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]

SLICE_SECONDS: Final = 0.001
"""After so long others have their turn; between two yields it should take much less."""

REST_SECONDS: Final = 0.002
"""How long it is theirs alone: a request takes several turns of the loop, and should not meet us in each."""


def at_once(steps: Steps[T]) -> T:
    """Return the result of ``steps`` without a pause."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: T = end.value
        return result


async def in_slices(steps: Steps[T]) -> T:
    """Return the result of ``steps``, a slice at a time."""
    try:
        until = monotonic_seconds() + SLICE_SECONDS
        while True:
            next(steps)
            if monotonic_seconds() >= until:
                await asyncio.sleep(REST_SECONDS)
                until = monotonic_seconds() + SLICE_SECONDS
    except StopIteration as end:
        result: T = end.value
        return result
