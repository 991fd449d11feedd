"""Refusals of writes with an Idempotency-Key."""

from __future__ import annotations

from monohull.kernel.errors import Problem


class IdempotencyKeyInvalid(Problem):
    """The header is there and holds no key."""

    code = "MH105"
    status = 400
    hint = "Send one key of your own for each write, such as a UUID, and the same one when you repeat it."


class IdempotencyKeyInUse(Problem):
    """A request with the same key is being answered, and takes long."""

    code = "MH106"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            "A request with this Idempotency-Key has not been answered yet",
            hint="Send the same request again in a moment: it gets the answer of the first.",
            headers={"Retry-After": "1"},
        )


class IdempotencyKeyReused(Problem):
    """The key came with another request: another path, query, body, or another wish in its headers."""

    code = "MH107"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was sent with another request",
            hint="A key belongs to one request: repeat that one unchanged, or take a new key for this one.",
        )


class AnswerTooLarge(Problem):
    """An answer that cannot be kept cannot be given again, so the write was not done."""

    code = "MH108"
    status = 422

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The answer has {size} bytes; {limit} are kept for an Idempotency-Key. Nothing was written.",
            hint="Ask for less of what was written: select fewer columns, or send Prefer: return=minimal.",
        )
