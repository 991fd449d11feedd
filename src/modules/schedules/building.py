"""What steers schedules, built for the API and for commands alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.schedules.services import Schedules
from monohull.kernel.settings import BUILTIN_MODULES

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def build_schedules(runtime: Runtime) -> Schedules:
    """Build what steers schedules; the API may schedule the jobs of the application's own modules."""
    builtin = {dotted.rpartition(".")[2] for dotted in BUILTIN_MODULES}
    jobs = (job for module in runtime.modules if module.name not in builtin for job in module.jobs)
    return Schedules(runtime.database, frozenset(job.name for job in jobs))
