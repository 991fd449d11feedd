"""The request id and W3C trace context: read from a request, carried along, sent back.

``X-Request-Id`` is taken from the client when it is well-formed; otherwise the
trace id serves, so that one id finds a request in the log, in the trace, in
the database's ``request.headers`` and in the events it caused.
"""

from __future__ import annotations

import random
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,127}")
_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_STATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")
"""What is handed on of ``tracestate``: W3C wants 512 characters at least to be."""


class Trace(Struct, frozen=True):
    """Where one piece of work belongs.

    Attributes:
        request_id: What people quote.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits, this process' part of the trace.
        parent_id: The caller's span, or None when the trace begins here.
        is_sampled: Whether the trace is recorded; the caller's wish, unless the settings decide (`tracing`).
        state: The caller's ``tracestate``, for whatever is called next; what other systems note there.
    """

    request_id: str
    trace_id: str
    span_id: str
    parent_id: str | None = None
    is_sampled: bool = True
    state: str | None = None

    @property
    def traceparent(self) -> str:
        """The ``traceparent`` value for whatever is called next."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"

    @property
    def lines(self) -> bytes:
        """What every answer says of it, as header lines."""
        return f"x-request-id: {self.request_id}\r\ntraceparent: {self.traceparent}\r\n".encode()


current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
"""The trace of the job that this task works for; a request has its own in its scope (`running_trace`)."""


def new_trace(request_id: str | None = None) -> Trace:
    """Begin a trace.

    Ids have to be unique and need not be secret, so the operating system is not asked for each;
    the generator is seeded by it, anew in every process that is forked.
    """
    digits = random.getrandbits(192).to_bytes(24, "big").hex()  # `format` takes twice as long
    trace_id = digits[:32]
    return Trace(request_id or trace_id, trace_id, digits[32:])


def new_span_id() -> str:
    """Return the id of a further part of a trace, 16 hexadecimal digits."""
    return f"{random.getrandbits(64) or 1:016x}"  # zero is no id


def continue_trace(traceparent: str | None, request_id: str | None = None, state: str | None = None) -> Trace:
    """Go on with a trace whose ``traceparent`` travelled with an event or a job."""
    match = _TRACEPARENT.fullmatch(traceparent.encode()) if traceparent else None
    if match is None:
        return new_trace(request_id)
    trace_id, parent, flags = (part.decode() for part in match.groups())
    is_sampled = bool(int(flags, 16) & 1)
    return Trace(request_id or trace_id, trace_id, new_span_id(), parent, is_sampled, state)


def read_trace(headers: Iterable[tuple[bytes, bytes]]) -> Trace:
    """Return the trace that ``headers`` ask for, or a new one."""
    request_id: bytes | None = None
    traceparent: bytes | None = None
    states: list[bytes] = []
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value
        elif name == b"traceparent":
            traceparent = value
        elif name == b"tracestate":
            states.append(value)
    state = b",".join(states)  # the header may come in several lines
    return continue_trace(
        traceparent.decode("latin-1") if traceparent else None,
        request_id.decode() if request_id else None,
        state.decode() if _STATE.fullmatch(state) else None,
    )


def request_id_of(text: str | None) -> str | None:
    """Return a request id that somebody sent, if it is well-formed.

    >>> request_id_of("order-7"), request_id_of("two lines" + chr(10))
    ('order-7', None)
    """
    return text if text and _REQUEST_ID.fullmatch(text.encode("utf-8", "replace")) else None


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace that a ``traceparent`` belongs to; None when it names none.

    >>> trace_id_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    match = _TRACEPARENT.fullmatch(traceparent.encode()) if traceparent else None
    return None if match is None else match[1].decode()
