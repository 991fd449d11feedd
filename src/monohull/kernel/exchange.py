"""`Exchange`: one request, what the edge adds to its answer, and what is noted of it in the end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from monohull.kernel.asgi import lines_of
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import BodyTooLarge, InvalidRequest
from monohull.kernel.observation import AnswerBroken, RequestFinished
from monohull.kernel.repeat import Place, Repeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from monohull.kernel.asgi import Direct, Message, Receive, Scope, Send, Work
    from monohull.kernel.cors import Cors, RawHeaders
    from monohull.kernel.errors import Problem
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.repeat import Found, Repeated
    from monohull.kernel.trace import Trace

UNMATCHED: Final = "unmatched"


class Surroundings(Place, Protocol):
    """What a request needs of the edge.

    Attributes:
        always: Headers that every answer has.
    """

    always: RawHeaders

    def cors_of(self, path: str) -> Cors: ...

    def see_through(self, exchange: Exchange, work: Awaitable[None]) -> Work: ...

    def conclude(self, exchange: Exchange) -> None: ...


class Exchange(Struct, eq=False):
    """One request and what is known of its answer so far.

    A structure, for making one takes half of the time that an ordinary class takes.

    Attributes:
        direct: What answers without a task; None where the server knows ASGI alone.
    """

    _edge: Surroundings
    scope: Scope
    _receive: Receive
    _send: Send
    headers: HeaderSet
    trace: Trace
    _limit_bytes: int
    _began_at: float
    direct: Direct | None = None
    request_bytes: int = 0
    status: int = 500
    response_bytes: int = 0
    has_started: bool = False

    async def receive(self) -> Message:
        """Take the next message of the client.

        Raises:
            BodyTooLarge: 413, as soon as more than the limit has come.
        """
        message = await self._receive()
        self.request_bytes += len(message.get("body", b""))
        if self.request_bytes > self._limit_bytes:
            raise BodyTooLarge(f"The body has more than the {self._limit_bytes} bytes that are allowed.")
        return message

    def announced(self) -> Receive:
        """Return what gives the messages of a client that announced how long the body is.

        Raises:
            BodyTooLarge: 413, too long.
            InvalidRequest: 400, it is no number.
        """
        length = _content_length(self.scope, self.headers.by_name)
        if length is None:
            return self.receive
        if length > self._limit_bytes:
            raise BodyTooLarge(f"The body has {length} bytes; {self._limit_bytes} are allowed.")
        return self._receive

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message of the application on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.has_started = True
            self.status = message["status"]
            headers, edge, trace = message.get("headers", ()), self._edge, self.trace
            if self.headers.has_origin:
                headers = (*headers, *self._cors_headers())
            if edge.lifecycle.is_leaving:
                headers = (*headers, *self._closing())
            # written out, as `_own_headers` has them: a call takes as long as half of this
            message["headers"] = [
                *headers,
                (b"x-request-id", trace.request_id.encode()),
                (b"traceparent", trace.traceparent.encode()),
                *edge.always,
            ]
        else:
            self.response_bytes += len(message.get("body", b""))
        return self._send(message)

    # what a mount may do that answers without a task

    def take_body(self) -> bytes | None:
        """Return the whole body if all of it is there, and no more than is allowed."""
        direct = self.direct
        body = None if direct is None else direct.take_body()
        if body is not None and len(body) > self._limit_bytes:
            raise BodyTooLarge(f"The body has {len(body)} bytes; {self._limit_bytes} are allowed.")
        return body

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a whole answer, which ends the request; see `Direct.answer`."""
        direct, edge, trace = self.direct, self._edge, self.trace
        assert direct is not None
        self.has_started, self.status, self.response_bytes = True, status, len(body)
        cors = lines_of(self._cors_headers()) if self.headers.has_origin else b""
        keeps = not edge.lifecycle.is_leaving
        lines = b"%b%b%b%b" % (lines, cors, trace.lines, edge.always_lines)
        direct.answer(status, lines, body, keeps=keeps)
        edge.conclude(self)

    def go_on(self, work: Work) -> None:
        """Have ``work`` answer after all, as a task."""
        direct = self.direct
        assert direct is not None
        direct.go_on(self._edge.see_through(self, work))

    @property
    def may_repeat(self) -> bool:
        """Whether `repeat_by` would be of use."""
        return self.direct is not None and not self.headers.is_traced and self.direct.may_repeat

    def repeat_by(self, find: Callable[[bytes], Found]) -> None:
        """Have ``find`` asked about the other part of further requests like this one."""
        direct, scope = self.direct, self.scope
        assert direct is not None
        state = scope["state"]
        cors = lines_of(self._cors_headers()) if self.headers.has_origin else b""
        # neither of them may hold this exchange, and its connection with it
        whole = partial(_again, self._edge, scope, self.headers, self._limit_bytes)
        principal, method, route = state["principal"], scope["method"], state["route"]
        direct.remember(Repeat(self._edge, find, self.headers, principal, method, route, cors, whole))

    async def respond(self, status: int, headers: RawHeaders, body: bytes, *, with_cors: bool = True) -> None:
        """Send a whole answer of the edge's own."""
        self.has_started = True
        self.status = status
        self.response_bytes = len(body)
        cors = self._cors_headers() if with_cors else []
        own = [(b"content-length", str(len(body)).encode())] if status != 204 else []  # noqa: PLR2004
        all_headers = [*headers, *own, *cors, *self._own_headers(), *self._closing()]
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})
        await self._send(
            {"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body}
        )

    def finished(self) -> RequestFinished:
        """Say how it ended."""
        scope, trace = self.scope, self.trace
        principal = scope["state"].get("principal")
        return RequestFinished(
            request_id=trace.request_id,
            trace_id=trace.trace_id,
            method=scope["method"] if scope["method"] in _KNOWN_METHODS else "OTHER",
            route=scope["state"].get("route") or route_of(scope),
            status=self.status,
            # `round` takes three times as long
            duration_seconds=int((monotonic_seconds() - self._began_at) * 1_000_000) / 1_000_000,
            principal=principal.kind._value_ if principal is not None else "refused",
            response_bytes=self.response_bytes,
        )

    def broken(self, problem: Problem) -> AnswerBroken:
        """Say that the rest of the answer cannot be sent."""
        return AnswerBroken(
            request_id=self.trace.request_id,
            route=route_of(self.scope),
            code=problem.code,
            reason=problem.message,
            response_bytes=self.response_bytes,
        )

    def _own_headers(self) -> RawHeaders:
        return [
            (b"x-request-id", self.trace.request_id.encode()),
            (b"traceparent", self.trace.traceparent.encode()),
            *self._edge.always,
        ]

    def _closing(self) -> RawHeaders:
        """Have a client whose process is about to stop come by another connection; HTTP/2 has its own way."""
        return [_CLOSE] if self._edge.lifecycle.is_leaving and self.scope["http_version"][0] == "1" else []

    def _cors_headers(self) -> RawHeaders:
        by_name = self.headers.by_name
        origin = _header(self.scope, b"origin") if by_name is None else by_name.get(b"origin")
        return [] if origin is None else self._edge.cors_of(self.scope["path"]).headers(origin)


def _again(
    edge: Surroundings, old: Scope, headers: HeaderSet, limit_bytes: int, repeated: Repeated
) -> Exchange:
    """Return the exchange of a request like that of the scope ``old``, which goes on as a task."""
    direct, trace = repeated.direct, repeated.trace
    scope = {
        **old,
        "query_string": repeated.part if old["method"] == "GET" else old["query_string"],
        "client": direct.client,
        "headers": list(old["headers"]),
        "state": {**old["state"], "trace": trace, "request_id": trace.request_id},
    }
    return Exchange(
        edge, scope, direct.receive, direct.send, headers, trace, limit_bytes, repeated.began_at, direct
    )


_CLOSE: Final = (b"connection", b"close")
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def route_of(scope: Scope) -> str:
    """Return the template of the route that was taken, for logs and metric labels."""
    route: str | None = scope["state"].get("route") or scope.get("path_template")
    return route or UNMATCHED


async def failed(error: Exception) -> None:
    """Raise ``error`` where this is awaited."""
    raise error


def _content_length(scope: Scope, headers: Mapping[bytes, bytes] | None) -> int | None:
    raw = _header(scope, b"content-length") if headers is None else headers.get(b"content-length")
    if raw is None:
        return None
    if not raw.isdigit():
        raise InvalidRequest("The Content-Length header is not a number.")
    return int(raw)


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)
