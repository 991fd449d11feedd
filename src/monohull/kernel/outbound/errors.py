"""Why there is no answer: refused by us before anything was sent, or failed out there."""

from __future__ import annotations

from typing import Literal, TypeAlias

Reason: TypeAlias = Literal[
    "url",
    "scheme",
    "credentials",
    "host",
    "port",
    "address",
    "method",
    "header",
    "request_too_large",
    "redirects",
    "downgrade",
]

Failure: TypeAlias = Literal["resolve", "connect", "timeout", "protocol", "response_too_large", "encoding"]


class OutboundRefused(Exception):
    """We do not make this request. ``reason`` is stable; the message is for people.

    The message names no address: whoever may give us URLs must not learn from
    the answer what our network looks like.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class OutboundFailed(Exception):
    """The request was made, or tried, and there is no answer to hand on.

    ``status`` is there where the host answered and the body alone is one that we do not take.
    """

    def __init__(self, reason: Failure, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.reason: Failure = reason
        self.status = status
