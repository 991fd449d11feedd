"""`Repeat`: what answers a request again whose very bytes came before, without reading them again.

Reads that a room has answers to in memory come in the same few thousand bytes,
line for line, again and again. What they say is known; what may have changed
meanwhile is asked each time: whether the credential holds, whether the caller
may ask so often, whether the answer holds. Nothing of what a request leaves
behind is left out: a trace, a line in the log, its numbers in the metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.observation import RequestFinished
from monohull.kernel.trace import new_trace

if TYPE_CHECKING:
    from monohull.kernel.asgi import Again, Reply
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.lifecycle import Lifecycle
    from monohull.kernel.observation import Reader
    from monohull.kernel.principal import Principal
    from monohull.kernel.schema import SchemaWatch


class Place(Protocol):
    """What this needs of the edge.

    Attributes:
        always_lines: Headers that every answer has, written.
        lifecycle: Knows whether clients should go to another process.
        schema: Knows whether this code may run with the platform schema.
        observe: Told what happened.
    """

    always_lines: bytes
    lifecycle: Lifecycle
    schema: SchemaWatch
    observe: Reader


class Repeat(Struct, eq=False):
    """One request that may come again.

    Attributes:
        find: Answers for the room: None where it has to look closer. It counts the request against what the
            caller may ask, if it answers.
        principal: Who asked.
        lines: What a browser is told, written.
    """

    _edge: Place
    find: Again
    headers: HeaderSet
    principal: Principal
    route: str
    lines: bytes

    def __call__(self) -> Reply | None:
        """Return the answer; None where the request has to be read, for whatever reason."""
        edge, began_at = self._edge, monotonic_seconds()
        if edge.lifecycle.is_leaving or edge.schema.state != "current":
            return None
        try:
            found = self.find()
            standing, principal = self.headers.standing, self.principal
            if found is None or standing is None or standing.use() is not principal:
                return None
        except Exception:  # noqa: BLE001 the way of every request says what is wrong, and to whom
            return None
        trace = new_trace()
        request_id = trace.request_id
        status, lines, body = found
        own = f"x-request-id: {request_id}\r\ntraceparent: {trace.traceparent}\r\n"
        edge.observe(
            RequestFinished(
                request_id=request_id,
                trace_id=request_id,
                method="GET",
                route=self.route,
                status=status,
                duration_seconds=int((monotonic_seconds() - began_at) * 1_000_000) / 1_000_000,
                principal=principal.kind._value_,
                response_bytes=len(body),
            )
        )
        return status, b"%b%b%b%b" % (lines, self.lines, own.encode(), edge.always_lines), body
