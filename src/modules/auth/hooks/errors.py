"""How a hook ends what it was asked about."""

from __future__ import annotations

from modules.auth.errors import AuthProblem

LOWEST_STATUS = 400
HIGHEST_STATUS = 499


class HookRejected(AuthProblem):
    """The hook said no; the message, and the status where it is one of a refusal, are its own."""

    code = "hook_rejected"
    status = 403

    def __init__(self, message: str, status: object = None) -> None:
        super().__init__(message)
        if isinstance(status, int) and LOWEST_STATUS <= status <= HIGHEST_STATUS:
            self.status = status  # type: ignore[misc]  # declared for the class


class HookTimeout(AuthProblem):
    """The hook did not answer in time."""

    code = "hook_timeout"
    status = 422

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"Failed to reach hook {name} within maximum time of {seconds:g} seconds")


class HookFailed(AuthProblem):
    """The hook raised, is not there, or answered what nobody understands."""

    code = "hook_failed"
    status = 503
    hint = "The log says what went wrong in the hook."

    def __init__(self, name: str) -> None:
        super().__init__(f"The hook {name} failed, so nothing was done")
