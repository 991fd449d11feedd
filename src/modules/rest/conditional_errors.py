"""Refusals of conditional requests."""

from __future__ import annotations

from monohull.kernel.errors import Problem


class ConditionInvalid(Problem):
    """If-Match or If-None-Match holds no entity tags, or stands where it means nothing."""

    code = "MH113"
    status = 400
    hint = 'Send tags as they came in ETag, quotes included and separated by commas, or "*".'

    def __init__(self, header: str, message: str | None = None) -> None:
        super().__init__(message or f"The header {header} holds no list of entity tags.")


class PreconditionFailed(Problem):
    """What would be written is not what the client knows: somebody wrote it, or it is (not) there."""

    code = "MH114"
    status = 412

    def __init__(self, current: str | None) -> None:
        super().__init__(
            "What the request is about is not as its precondition says. Nothing was written.",
            hint="Read it again, and decide anew with what it is now.",
            headers={} if current is None else {"ETag": current},
        )
