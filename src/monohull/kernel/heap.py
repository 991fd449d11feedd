"""The garbage collector while a process loads, and once it serves."""

from __future__ import annotations

import gc
from typing import Final

GC_THRESHOLDS: Final = (5_000, 200, 100)
"""Litestar's heap is large and lives for ever: with the defaults a full collection costs 50 ms.

Only the youngest objects are looked at often, and few at a time: less than a millisecond's worth.
"""


def pause_collector() -> None:
    """Collect nothing while modules load: none of it is garbage, and to look takes a sixth of the time."""
    gc.disable()


def settle() -> None:
    """Take what was loaded out of every later collection, and collect again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
