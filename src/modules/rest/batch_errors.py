"""Refusals of batches."""

from __future__ import annotations

from monohull.kernel.errors import Problem


class BatchInvalid(Problem):
    """The body is no list of steps, or a step cannot be what it says."""

    code = "MH109"
    status = 400


class BatchMethodNotAllowed(Problem):
    """A batch is sent by POST."""

    code = "PGRST117"
    status = 405

    def __init__(self, method: str) -> None:
        super().__init__(f"Unsupported HTTP method: {method}", headers={"Allow": "OPTIONS,POST"})


class BatchReferenceMissing(Problem):
    """A step refers to a value that the answer of an earlier one does not have."""

    code = "MH110"
    status = 422

    def __init__(self, pointer: str) -> None:
        super().__init__(
            f"Nothing stands at {pointer}",
            hint="Have the earlier step answer with it: Prefer: return=representation, and its column.",
        )


class BatchTooSlow(Problem):
    """The steps together took longer than the instance allows; nothing of them took effect."""

    code = "MH111"
    status = 504

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The batch took longer than {seconds:g} s. Nothing of it took effect.",
            hint="Send fewer steps at a time.",
        )


class BatchTooLarge(Problem):
    """The answers of the steps together have more bytes than a batch answers with."""

    code = "MH112"
    status = 422

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The answers have more than {limit} bytes. Nothing of the batch took effect.",
            hint="Ask for less: select fewer columns, limit rows, or send Prefer: return=minimal.",
        )
