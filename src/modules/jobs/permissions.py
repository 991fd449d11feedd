"""What may be done with jobs."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_RUNS: Final = Permission("jobs.runs:read", "See jobs, their attempts and results, batches and queues.")
CREATE_RUNS: Final = Permission("jobs.runs:create", "Ask for jobs that are declared as public.")
WRITE_RUNS: Final = Permission("jobs.runs:write", "Cancel, retry and delete jobs.")
WRITE_QUEUES: Final = Permission("jobs.queues:write", "Pause and resume queues.")

PERMISSIONS: Final = (READ_RUNS, CREATE_RUNS, WRITE_RUNS, WRITE_QUEUES)
