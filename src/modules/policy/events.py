"""What happened to explanations: somebody was told of rows that policies hide."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.events import Event


class PolicyExplained(Event, frozen=True):
    """A request was explained to somebody who may see keys and columns of hidden rows.

    ``request`` is method and path, without the query; ``caller_subject`` whom it was tried as.
    """

    name: ClassVar[str] = "policy.explained"

    request: str
    caller_kind: str
    caller_role: str
    caller_subject: str | None
    culprits: tuple[str, ...]
