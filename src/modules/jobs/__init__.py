"""Jobs, seen and steered by people: ``/platform/v1/jobs`` and its neighbours.

What a job is and how it runs lies in the kernel (`monohull.kernel.queues`). Whether one may be asked for
from outside is said where it is declared: ``@job(..., is_public=True, arguments=...)``.
"""

from __future__ import annotations

from modules.jobs.events import JOB_EVENTS

__all__ = ["JOB_EVENTS"]
