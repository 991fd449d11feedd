"""The plug of `modules.query`: keeps the process' catalog fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.query.live import live_catalog
from modules.query.settings import CatalogSettings
from monohull.kernel.health import Check
from monohull.kernel.module import Module, Parts

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Return the task that reads the catalog, and the check whether there is one."""
    live = live_catalog(runtime)
    return Parts(lifespans=(live.running,), checks=(Check("catalog", live.probe, timeout_seconds=1.0),))


module = Module(name="query", settings=CatalogSettings, parts=parts)
