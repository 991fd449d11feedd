"""`Repeat`: what answers requests that came before but for a part, without reading the rest of them.

A client sends the same path and header lines again and again, and most of what
is found out about a request depends on nothing else: who asks, which room it is
for, what the answer has to say to a browser. What may have changed meanwhile is
asked each time: whether the credential still holds, whether the caller may ask
so often, whether what the room knows still holds. Nothing that a request leaves
behind is left out: a trace, a line in the log, its numbers in the metrics.

Whatever is unusual is read, and goes the way of any request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.observation import RequestFinished
from monohull.kernel.trace import new_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from monohull.kernel.asgi import Channel, Direct, Message, Receive, Reply, Work
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.lifecycle import Lifecycle
    from monohull.kernel.observation import Reader
    from monohull.kernel.principal import Principal
    from monohull.kernel.schema import SchemaWatch
    from monohull.kernel.trace import Trace


class Whole(Protocol):
    """A request that goes on as a task; `monohull.kernel.exchange.Exchange` is one."""

    def send(self, message: Message) -> Awaitable[None]: ...

    def go_on(self, work: Work) -> None: ...


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


class Asker(Protocol):
    """A request that a room asks something for; `Exchange` and `Repeated` are such."""

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a whole answer."""
        ...

    def go_on(self, work: Work) -> None:
        """Have ``work`` answer after all, as a task."""
        ...

    def send(self, message: Message) -> Awaitable[None]:
        """Send a part of the answer."""
        ...


class Question(Protocol):
    """What a room has to ask before it can answer."""

    def begin(self, asker: Asker, receive: Receive) -> None:
        """Ask; raise nothing."""
        ...


Found: TypeAlias = "Reply | Question | bool"
"""The answer, or what has to be asked; False to have the request read, True all like it."""


class Repeat(Struct, eq=False):
    """A request that may come again with another part: its query, or the body of a POST.

    Attributes:
        find: Looks for the room what to do about the part. It counts the request against what the caller may
            ask, unless it returns a truth value.
        headers: Of the request.
        principal: Who asked.
        method: Of the request.
        route: The template of the route.
        lines: What a browser is told, written.
        whole: Makes the request that goes on as a task.
    """

    _edge: Place
    find: Callable[[bytes], Found]
    headers: HeaderSet
    principal: Principal
    method: str
    route: str
    lines: bytes
    whole: Callable[[Repeated], Whole]

    def __call__(self, part: bytes, channel: Channel) -> Reply | bool:
        """Return the answer, or True where one will come.

        False where the request has to be read, for whatever reason, as it has nothing to show for.
        """
        edge, began_at = self._edge, monotonic_seconds()
        lifecycle = edge.lifecycle
        if lifecycle.is_leaving or edge.schema.state != "current":
            return False
        try:
            found = self.find(part)
            standing, principal = self.headers.standing, self.principal
            if found is False or found is True:
                if found:
                    channel.forget()
                return False
            if standing is None or standing.use() is not principal:
                channel.forget()
                return False
        except Exception:  # noqa: BLE001 the way of every request says what is wrong, and to whom
            channel.forget()
            return False
        trace = new_trace()
        if isinstance(found, tuple):
            status, lines, body = found
            self.conclude(trace, began_at, status, len(body))
            return status, self.head(lines, trace), body
        lifecycle.begin()
        direct = channel.turn_over()
        found.begin(Repeated(self, direct, part, trace, began_at, lifecycle), direct.receive)
        return True

    def head(self, lines: bytes, trace: Trace) -> bytes:
        """Return the header lines of an answer, with those that every answer has."""
        return b"%b%b%b%b" % (lines, self.lines, trace.lines, self._edge.always_lines)

    def conclude(self, trace: Trace, began_at: float, status: int, length: int) -> None:
        """Note what became of a request."""
        self._edge.observe(
            RequestFinished(
                request_id=trace.request_id,
                trace_id=trace.trace_id,
                method=self.method,
                route=self.route,
                status=status,
                duration_seconds=int((monotonic_seconds() - began_at) * 1_000_000) / 1_000_000,
                principal=self.principal.kind._value_,
                response_bytes=length,
            )
        )


class Repeated(Struct, eq=False):
    """One request of a `Repeat` for which something is asked."""

    _repeat: Repeat
    direct: Direct
    part: bytes
    trace: Trace
    began_at: float
    _lifecycle: Lifecycle
    _whole: Any = None

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a whole answer, which ends the request."""
        repeat, trace, lifecycle = self._repeat, self.trace, self._lifecycle
        head = repeat.head(lines, trace)
        self.direct.answer(status, head, body, keeps=not lifecycle.is_leaving)
        lifecycle.end()
        repeat.conclude(trace, self.began_at, status, len(body))

    def go_on(self, work: Work) -> None:
        """Have ``work`` answer after all, as a task."""
        self._made.go_on(work)

    def send(self, message: Message) -> Awaitable[None]:
        """Send a part of the answer."""
        return self._made.send(message)

    @property
    def _made(self) -> Whole:
        if self._whole is None:
            self._whole = self._repeat.whole(self)
        whole: Whole = self._whole
        return whole
