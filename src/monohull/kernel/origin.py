"""`Origin`: who and where something came from, written down with the events it causes.

A request pays one context variable for it; what it holds is put together when
an event is published, and never for a request that publishes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

from msgspec import Struct

from monohull.kernel.principal import Principal
from monohull.kernel.trace import Trace, current_trace

MAX_AGENT: Final = 400
"""Characters of a ``User-Agent`` that are kept."""


class Origin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who did something, as what, and from where.

    Attributes:
        kind: Of the principal, ``command`` for the command line, ``system`` for the process itself.
        subject: The user's id; of a command the operating system's name of who gave it.
        role: PostgreSQL role that the principal's data requests run as.
        key_id: The API key that the request came with.
        address: The client's.
        user_agent: As the client calls itself.
    """

    kind: str = "system"
    subject: str | None = None
    role: str | None = None
    key_id: str | None = None
    address: str | None = None
    user_agent: str | None = None


Source: TypeAlias = "Origin | Mapping[str, Any] | None"
"""An origin, or the ASGI scope of a request that one can be read from."""

current_source: ContextVar[Source] = ContextVar("current_source", default=None)
"""Where the work of this task comes from."""

current_actor: ContextVar[str | None] = ContextVar("current_actor", default=None)
"""The subject that a job works for; who asks in a request is in its scope."""


def running_trace() -> Trace | None:
    """Return the trace of the request or job that this task works for."""
    source = current_source.get()
    if not isinstance(source, Mapping):
        return current_trace.get()
    trace: Trace = source["state"]["trace"]
    return trace


def acting_subject() -> str | None:
    """Return the subject that this task works for, None where nobody asked or it is not known yet."""
    source = current_source.get()
    if not isinstance(source, Mapping):
        return current_actor.get()
    principal: Principal | None = source["state"].get("principal")
    return None if principal is None else principal.subject


def origin() -> Origin | None:
    """Return where this task's work comes from; None when nobody said, as in a job."""
    source = current_source.get()
    return of_scope(source) if isinstance(source, Mapping) else source


def of_scope(scope: Mapping[str, Any]) -> Origin:
    """Return the origin of a request."""
    state = scope.get("state", {})
    address = state.get("address")
    agent = next((value for name, value in scope.get("headers", ()) if name == b"user-agent"), None)
    user_agent = None if agent is None else agent.decode("latin-1")[:MAX_AGENT]
    principal = state.get("principal")
    if not isinstance(principal, Principal):
        return Origin(kind="refused", address=address, user_agent=user_agent)
    return Origin(
        kind=principal.kind.value,
        subject=principal.subject,
        role=principal.role,
        key_id=principal.key_id,
        address=address,
        user_agent=user_agent,
    )
