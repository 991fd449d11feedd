"""What a process keeps in memory for ever: how it is loaded, and that nobody looks through it again."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

GC_THRESHOLDS: Final = (5_000, 200, 100)
"""Litestar's heap is large and lives for ever: with the defaults a full collection costs 50 ms.

Only the youngest objects are looked at often, and few at a time: less than a millisecond's worth.
"""


M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
LARGE_BLOCK_BYTES: Final = 128 * 1024
ARENAS: Final = 2

UNUSED: Final = ("numpy", "pydantic", "attr", "attrs", "rich", "pygments", "opentelemetry")
"""What libraries import where it is installed, and what nothing of ours uses: 24 MB and 400 ms for nothing.

advanced-alchemy imports numpy, pydantic and attrs; Litestar the latter two; structlog and httpx rich and
pygments; redis the metrics of OpenTelemetry. Each of them does without.
"""


def begin_loading() -> None:
    """Collect nothing while modules load: none of it is garbage, and to look takes a sixth of the time."""
    gc.disable()
    _hide()


def frameworks_loaded() -> None:
    """Let whoever comes from now on, a user's own module for one, import what it wants."""
    _show()


@contextmanager
def without_unused() -> Iterator[None]:
    """Load nothing of `UNUSED` within the block, unless somebody uses it: then it is there already."""
    _hide()
    try:
        yield
    finally:
        _show()


@contextmanager
def loading() -> Iterator[None]:
    """Load within the block what a single command needs, as `begin_loading` has it; collect again after it.

    Nothing is collected at the end either: a command is over sooner than what it loaded is looked through.
    """
    begin_loading()
    try:
        yield
    finally:
        frameworks_loaded()
        gc.freeze()
        gc.enable()


def settle() -> None:
    """Take what was loaded out of every later collection, and collect again."""
    _give_back()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


def _give_back() -> None:
    """Have the C library give large blocks back to the system when they are freed, and keep few arenas.

    Else glibc, having seen large blocks freed once, keeps the next ones: what slow clients had waiting in
    memory for a moment would stay with the process.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
        mallopt(M_ARENA_MAX, ARENAS)


def _hide() -> None:
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # so `import` says that it is not there


def _show() -> None:
    for name in UNUSED:
        if sys.modules.get(name, sys) is None:
            del sys.modules[name]
