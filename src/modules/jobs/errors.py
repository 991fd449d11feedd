"""Refusals of jobs."""

from __future__ import annotations

from monohull.kernel.errors import Conflict, InvalidRequest


class UnknownJobName(InvalidRequest):
    """No job of this name may be asked for from outside."""

    code = "unknown_job_name"
    hint = "GET /platform/v1/job-types lists those that may; a job is declared so by is_public=True."


class UnknownQueue(InvalidRequest):
    """No job of the loaded modules belongs to this queue, so no worker would look into it."""

    code = "unknown_queue"
    hint = "Leave queue out, and the job goes into its own."


class JobArgumentsInvalid(InvalidRequest):
    """The arguments do not fit what the job says of them."""

    code = "job_arguments_invalid"
    hint = "GET /platform/v1/job-types shows the JSON Schema of each job's arguments."


class JobKeyTaken(Conflict):
    """Another job of the same name and key waits or runs."""

    code = "job_key_taken"
    hint = "Wait until it is done, or cancel it; or use another key."


class JobStateConflict(Conflict):
    """The job is in a state in which that cannot be done to it."""

    code = "job_state_conflict"
    hint = "Cancel what is not done, retry what is dead or cancelled, delete what is done."
