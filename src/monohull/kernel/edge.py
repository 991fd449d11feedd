"""The edge: what happens to every request, whichever room answers it.

One raw ASGI layer, since a stack of framework middlewares costs half of the
throughput: trace and request id, cross-origin headers, body limit, draining,
who asks, the choice between a mount and Litestar, and the one observation a
request leaves behind. Mounts are raw ASGI applications; whatever they raise is
answered here, so that no wire can send a traceback.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import SpanKind

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.cors import Cors, RawHeaders, is_preflight
from monohull.kernel.errors import (
    BodyTooLarge,
    Draining,
    InternalError,
    InvalidCredential,
    InvalidRequest,
    Problem,
    Rendered,
    Unavailable,
    render_problem,
)
from monohull.kernel.header_sets import HeaderSets
from monohull.kernel.observation import RequestFailed, RequestFinished
from monohull.kernel.origin import current_source
from monohull.kernel.outbox import current_actor
from monohull.kernel.trace import Trace, current_trace, read_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from monohull.kernel.asgi import ASGIApp, Message, ProblemRenderer, Receive, Scope, Send
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.runtime import Runtime

UNMATCHED: Final = "unmatched"
_ALWAYS_ANSWERED: Final = ("/health/", "/metrics")
"""Answered while draining and with a schema that does not fit: they are how one finds out."""


def render_platform(problem: Problem, scope: Scope) -> Rendered:
    """Render for ``/platform/v1`` and every address that no wire claims."""
    trace: Trace | None = scope["state"].get("trace")
    return render_problem(problem, request_id=trace.request_id if trace else None, instance=scope["path"])


class Edge:
    """Wraps an ASGI application with what every request needs.

    Args:
        runtime: The process' runtime.
        inner: Litestar, for everything that is not a mount.
        mounts: Raw ASGI applications by path prefix.
        renderers: How problems look below a path prefix.
        cors: What browsers are told below a path prefix, where it is not what they are told elsewhere.
    """

    def __init__(
        self,
        runtime: Runtime,
        inner: ASGIApp,
        mounts: Mapping[str, ASGIApp],
        renderers: Mapping[str, ProblemRenderer],
        cors: Mapping[str, Cors] | None = None,
    ) -> None:
        self._runtime = runtime
        self._lifecycle = runtime.lifecycle
        self._schema = runtime.schema
        self._authentication = runtime.authentication
        self._header_sets = HeaderSets(runtime.authentication)
        self._observe = runtime.observer.observe
        self._inner = inner
        self._mounts = [
            (prefix, f"{prefix}/", mount)
            for prefix, mount in sorted(mounts.items(), key=lambda item: -len(item[0]))
        ]
        self._renderers = sorted(renderers.items(), key=lambda item: -len(item[0]))
        self._cors = Cors(runtime.settings.core.effective_cors_origins)
        self._cors_below = tuple((cors or {}).items())
        self._body_limit = runtime.settings.core.body_limit_bytes

    def render(self, problem: Problem, scope: Scope) -> Rendered:
        """Render ``problem`` as the wire that ``scope`` belongs to does."""
        for prefix, renderer in self._renderers:
            if scope["path"].startswith(prefix):
                return renderer(problem, scope)
        return render_platform(problem, scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._socket(scope, receive, send)
            return
        headers = self._header_sets.of(scope)
        trace = headers.trace()
        cors = self._cors_of(scope["path"]) if self._cors_below else self._cors
        exchange = Exchange(scope, send, cors, trace, headers)
        token, actor, source = current_trace.set(trace), current_actor.set(None), current_source.set(scope)
        self._lifecycle.begin()
        try:
            if scope["method"] == "OPTIONS" and is_preflight("OPTIONS", scope["headers"]):
                await self._answer_preflight(exchange)
            elif self._runtime.tracing.is_on:
                await self._record(exchange, receive)
            else:
                await self._reach(exchange, receive)
        except Exception as error:  # noqa: BLE001 the one boundary: a defect is answered, logged and counted
            await self._fail(exchange, error)
        finally:
            self._lifecycle.end()
            current_trace.reset(token)
            current_actor.reset(actor)
            current_source.reset(source)
            self._observe(exchange.finished())

    async def _answer_preflight(self, exchange: Exchange) -> None:
        scope = exchange.scope
        scope["state"]["route"] = "preflight"
        cors = self._cors_of(scope["path"])
        preflight = cors.preflight(scope["headers"])
        await exchange.respond(cors.preflight_status, preflight, b"", with_cors=False)

    async def _record(self, exchange: Exchange, receive: Receive) -> None:
        """Serve inside a span."""
        scope = exchange.scope
        with self._runtime.tracing.span(scope["method"], kind=SpanKind.SERVER) as span:
            await self._serve(exchange, receive)
            if span.is_recording():
                span.update_name(f"{scope['method']} {route_of(scope)}")
                span.set_attribute("http.request.method", scope["method"])
                span.set_attribute("http.route", route_of(scope))
                span.set_attribute("http.response.status_code", exchange.status)

    def _cors_of(self, path: str) -> Cors:
        for prefix, cors in self._cors_below:
            if path.startswith(prefix):
                return cors
        return self._cors

    async def _serve(self, exchange: Exchange, receive: Receive) -> None:
        """Have a request answered, whatever becomes of it."""
        try:
            await self._reach(exchange, receive)
        except Exception as error:  # noqa: BLE001 as in `__call__`; here it is still inside the span
            await self._fail(exchange, error)

    def _reach(self, exchange: Exchange, receive: Receive) -> Awaitable[None]:
        """Return the work of the room that a request is for, once it is known who asks."""
        scope, headers = exchange.scope, exchange.headers
        self._admit(scope)
        body = limited(receive, _content_length(scope, headers.by_name), self._body_limit)
        if self._recognise(scope, headers):
            return self._target(scope)(scope, body, exchange.send)
        return self._reach_unknown(exchange, body)

    async def _reach_unknown(self, exchange: Exchange, body: Receive) -> None:
        scope = exchange.scope
        await self._identify(scope, exchange.headers)
        await self._target(scope)(scope, body, exchange.send)

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer with what was raised; of a defect the client is told nothing, and log and metrics are."""
        if isinstance(error, Problem):
            await self._refuse(exchange, error)
            return
        self.observe_defect(exchange.scope, error)
        await self._refuse(exchange, InternalError("Something went wrong on our side."))

    def _admit(self, scope: Scope) -> None:
        if self._schema.state == "current" and not self._lifecycle.is_draining:
            return
        if scope["path"].startswith(_ALWAYS_ANSWERED):
            return
        if self._lifecycle.is_draining:
            raise Draining("This process is about to stop.")
        self._schema.demand()

    def _recognise(self, scope: Scope, headers: HeaderSet) -> bool:
        """Leave the principal in the scope if the same headers stood for it before, and still do."""
        standing = headers.standing
        principal = None if standing is None else standing.use()
        if principal is None:
            return False
        credentials = headers.credentials
        state = scope["state"]
        state["address"] = credentials.address
        state["credentials"] = credentials
        state["principal"] = principal
        current_actor.set(principal.subject)
        return True

    async def _identify(self, scope: Scope, headers: HeaderSet) -> None:
        """Leave the principal in the scope, or the problem for whoever asks for the principal."""
        authentication = self._authentication
        credentials = headers.credentials
        state = scope["state"]
        state["address"] = credentials.address
        state["credentials"] = credentials
        began = monotonic_seconds()
        try:
            state["principal"] = principal = await authentication.authenticate(credentials)
            current_actor.set(principal.subject)
            headers.standing = authentication.standing(credentials)
        except (InvalidCredential, Unavailable) as problem:
            state["credential_problem"] = problem
        state["authentication_seconds"] = monotonic_seconds() - began

    def _target(self, scope: Scope) -> ASGIApp:
        path: str = scope["path"]
        for prefix, below, mount in self._mounts:
            if path.startswith(below) or path == prefix:
                scope["state"]["route"] = below
                return mount
        return self._inner

    async def _refuse(self, exchange: Exchange, problem: Problem) -> None:
        if exchange.has_started:
            raise problem  # the status line is out: only a broken connection tells the client so
        rendered = self.render(problem, exchange.scope)
        await exchange.respond(rendered.status, raw_headers(rendered), rendered.body)

    def observe_defect(self, scope: Scope, error: Exception) -> None:
        """Tell log and metrics of an exception that is no `Problem`."""
        trace: Trace = scope["state"]["trace"]
        self._runtime.observer.observe(
            RequestFailed(
                request_id=trace.request_id,
                route=route_of(scope),
                error=f"{type(error).__name__}: {error}",
                stack="".join(traceback.format_exception(error)),
            )
        )

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["trace"] = read_trace(scope["headers"])
        try:
            await self._identify(scope, self._header_sets.read(scope))
        except Problem:
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        await self._target(scope)(scope, receive, send)


class Exchange:
    """One request and what is known of its answer so far."""

    __slots__ = (
        "_cors",
        "_send",
        "_started_at",
        "has_started",
        "headers",
        "response_bytes",
        "scope",
        "status",
        "trace",
    )

    def __init__(self, scope: Scope, send: Send, cors: Cors, trace: Trace, headers: HeaderSet) -> None:
        self.scope = scope
        self.trace = trace
        self.headers = headers
        self.status = 500
        self.response_bytes = 0
        self.has_started = False
        self._send = send
        self._cors = cors
        self._started_at = monotonic_seconds()
        scope["state"] = {"trace": trace, "request_id": trace.request_id, "headers": headers}

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message of the application on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.has_started = True
            self.status = message["status"]
            trace, headers = self.trace, message.get("headers", ())
            if self.headers.has_origin:
                headers = (*headers, *self._cors_headers())
            message["headers"] = [
                *headers,
                (b"x-request-id", trace.request_id.encode()),
                (b"traceparent", trace.traceparent.encode()),
                _NO_SNIFFING,
            ]
        else:
            self.response_bytes += len(message.get("body", b""))
        return self._send(message)

    async def respond(self, status: int, headers: RawHeaders, body: bytes, *, with_cors: bool = True) -> None:
        """Send a whole answer of the edge's own."""
        self.has_started = True
        self.status = status
        self.response_bytes = len(body)
        cors = self._cors_headers() if with_cors else []
        own = [(b"content-length", str(len(body)).encode())] if status != 204 else []  # noqa: PLR2004
        all_headers = [*headers, *own, *cors, *self._own_headers()]
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
            duration_seconds=round(monotonic_seconds() - self._started_at, 6),
            principal=principal.kind._value_ if principal is not None else "refused",
            response_bytes=self.response_bytes,
        )

    def _own_headers(self) -> RawHeaders:
        return [
            (b"x-request-id", self.trace.request_id.encode()),
            (b"traceparent", self.trace.traceparent.encode()),
            _NO_SNIFFING,
        ]

    def _cors_headers(self) -> RawHeaders:
        by_name = self.headers.by_name
        origin = _header(self.scope, b"origin") if by_name is None else by_name.get(b"origin")
        return [] if origin is None else self._cors.headers(origin)


_POLICY_VIOLATION: Final = 1008
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def route_of(scope: Scope) -> str:
    """Return the template of the route that was taken, for logs and metric labels."""
    route: str | None = scope["state"].get("route") or scope.get("path_template")
    return route or UNMATCHED


def raw_headers(rendered: Rendered) -> RawHeaders:
    """Return a rendered problem's headers as ASGI wants them."""
    pairs = [("content-type", rendered.media_type), *rendered.headers.items()]
    return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in pairs]


def limited(receive: Receive, content_length: int | None, limit_bytes: int) -> Receive:
    """Refuse a body above ``limit_bytes``: at once when it is announced, else as soon as it is passed.

    Raises:
        BodyTooLarge: 413.
    """
    if content_length is not None and content_length > limit_bytes:
        raise BodyTooLarge(f"The body has {content_length} bytes; {limit_bytes} are allowed.")
    if content_length is not None:
        return receive
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit_bytes:
            raise BodyTooLarge(f"The body has more than the {limit_bytes} bytes that are allowed.")
        return message

    return counted


def _content_length(scope: Scope, headers: Mapping[bytes, bytes] | None) -> int | None:
    raw = _header(scope, b"content-length") if headers is None else headers.get(b"content-length")
    if raw is None:
        return None
    if not raw.isdigit():
        raise InvalidRequest("The Content-Length header is not a number.")
    return int(raw)


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)
