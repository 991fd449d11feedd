"""What a process keeps in memory for ever: how it is loaded, and that nobody looks through it again."""

from __future__ import annotations

import gc
import sys
from typing import Final

GC_THRESHOLDS: Final = (5_000, 200, 100)
"""Litestar's heap is large and lives for ever: with the defaults a full collection costs 50 ms.

Only the youngest objects are looked at often, and few at a time: less than a millisecond's worth.
"""


UNUSED: Final = ("numpy",)
"""Imported by advanced-alchemy where it is installed, to write arrays as JSON: 6 MB and 80 ms for nothing."""


def begin_loading() -> None:
    """Collect nothing while modules load: none of it is garbage, and to look takes a sixth of the time."""
    gc.disable()
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # so `import` says that it is not there


def frameworks_loaded() -> None:
    """Let whoever comes from now on, a user's own module for one, import what it wants."""
    for name in UNUSED:
        if sys.modules.get(name, sys) is None:
            del sys.modules[name]


def settle() -> None:
    """Take what was loaded out of every later collection, and collect again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
