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

from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.cors import Cors, RawHeaders, is_preflight
from monohull.kernel.errors import (
    BodyTooLarge,
    ClientGone,
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
from monohull.kernel.observation import AnswerBroken, RequestFailed, RequestFinished
from monohull.kernel.origin import current_source
from monohull.kernel.span import Kind
from monohull.kernel.trace import Trace, read_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from monohull.kernel.asgi import ASGIApp, Message, ProblemRenderer, Receive, Scope, Send
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.span import Value

UNMATCHED: Final = "unmatched"
MAX_TARGETS: Final = 1000
MAX_TARGET_CHARACTERS: Final = 100
"""Of so many paths, none longer, is remembered what they lead to; about 0.2 MB."""
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
        self._tracing = runtime.tracing
        self._is_traced = runtime.tracing.is_on
        self._header_sets = HeaderSets(runtime.authentication)
        self._observe = runtime.observer.observe
        self._inner = inner
        self._mounts = [
            (prefix, f"{prefix}/", mount)
            for prefix, mount in sorted(mounts.items(), key=lambda item: -len(item[0]))
        ]
        self._targets: dict[str, tuple[str, ASGIApp]] = {}
        self._renderers = sorted(renderers.items(), key=lambda item: -len(item[0]))
        self._cors = Cors(runtime.settings.core.effective_cors_origins)
        self._cors_below = tuple((cors or {}).items())
        self._body_limit_bytes = runtime.settings.core.body_limit_bytes
        secure = runtime.settings.core.effective_strict_transport_security
        self.always: RawHeaders = [_NO_SNIFFING, *([(_HSTS, secure.encode())] if secure else ())]

    @property
    def is_leaving(self) -> bool:
        """Whether clients should go to another process."""
        return self._lifecycle.is_leaving

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
        if self._is_traced:
            trace = self._decide(trace, scope)
        exchange = Exchange(
            self, scope, receive, send, headers, trace, self._body_limit_bytes, monotonic_seconds()
        )
        source = current_source.set(scope)
        self._lifecycle.begin()
        try:
            self._recognise(exchange)
            if scope["method"] == "OPTIONS" and is_preflight("OPTIONS", scope["headers"]):
                await self._answer_preflight(exchange)
            else:
                await self._reach(exchange)
        except Exception as error:  # noqa: BLE001 the one boundary: a defect is answered, logged and counted
            await self._fail(exchange, error)
        finally:
            self._lifecycle.end()
            current_source.reset(source)
            self._observe(finished := exchange.finished())
            if self._is_traced and trace.is_sampled:
                self._record(trace, finished)

    async def _answer_preflight(self, exchange: Exchange) -> None:
        scope = exchange.scope
        scope["state"]["route"] = "preflight"
        cors = self.cors_of(scope["path"])
        preflight = cors.preflight(scope["headers"])
        await exchange.respond(cors.preflight_status, preflight, b"", with_cors=False)

    def _decide(self, trace: Trace, scope: Scope) -> Trace:
        """Return the trace, sampled or not. Probes and preflights begin none that is recorded."""
        is_dull = trace.parent_id is None and (
            scope["method"] == "OPTIONS" or scope["path"].startswith(_ALWAYS_ANSWERED)
        )
        return self._tracing.unsampled(trace) if is_dull else self._tracing.decide(trace)

    def _record(self, trace: Trace, finished: RequestFinished) -> None:
        """Make the request's own span, which those of its parts have named as theirs all the time."""
        attributes: dict[str, Value] = {
            "http.request.method": finished.method,
            "http.route": finished.route,
            "http.response.status_code": finished.status,
            "http.response.body.size": finished.response_bytes,
            "monohull.principal": finished.principal,
            "monohull.request_id": finished.request_id,
        }
        self._tracing.end_whole(
            trace,
            f"{finished.method} {finished.route}",
            Kind.SERVER,
            seconds=finished.duration_seconds,
            attributes=attributes,
            error=str(finished.status) if finished.status >= _FIRST_DEFECT else None,
        )

    def cors_of(self, path: str) -> Cors:
        """Return what browsers are told about a path."""
        for prefix, cors in self._cors_below:
            if path.startswith(prefix):
                return cors
        return self._cors

    def _reach(self, exchange: Exchange) -> Awaitable[None]:
        """Return the work of the room that a request is for, once it is known who asks."""
        scope = exchange.scope
        if self._lifecycle.is_draining or self._schema.state != "current":
            self._admit(scope)
        receive = exchange.announced() if exchange.headers.has_length else exchange.receive
        standing = exchange.headers.standing
        # asked once the request is let in, for it may count the use of a key
        if standing is not None and (principal := standing.use()) is not None:
            scope["state"]["principal"] = principal
            return self._target(scope)(scope, receive, exchange.send)
        return self._reach_unknown(exchange, receive)

    async def _reach_unknown(self, exchange: Exchange, receive: Receive) -> None:
        scope = exchange.scope
        await self._identify(scope, exchange.headers)
        await self._target(scope)(scope, receive, exchange.send)

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer with what was raised; of a defect the client is told nothing, and log and metrics are.

        Once the status line is out nothing more is sent: the server breaks the connection of an answer that
        has no end, which is what tells the client.
        """
        if not isinstance(error, Problem):
            self.observe_defect(exchange.scope, error)
            error = InternalError("Something went wrong on our side.")
        elif exchange.has_started and not isinstance(error, ClientGone):
            self._observe(exchange.broken(error))
        if not exchange.has_started:
            rendered = self.render(error, exchange.scope)
            await exchange.respond(rendered.status, raw_headers(rendered), rendered.body)

    def _admit(self, scope: Scope) -> None:
        """Let what is always answered pass, while nothing else is."""
        if scope["path"].startswith(_ALWAYS_ANSWERED):
            return
        if self._lifecycle.is_draining:
            raise Draining("This process is about to stop.")
        self._schema.demand()

    def _recognise(self, exchange: Exchange) -> None:
        """Begin the request's state."""
        headers, trace = exchange.headers, exchange.trace
        credentials = headers.credentials
        exchange.scope["state"] = {
            "trace": trace,
            "request_id": trace.request_id,
            "headers": headers,
            "address": credentials.address,
            "credentials": credentials,
            "route": None,
        }

    async def _identify(self, scope: Scope, headers: HeaderSet) -> None:
        """Leave the principal in the scope, or the problem for whoever asks for the principal."""
        authentication = self._authentication
        credentials = headers.credentials
        state = scope["state"]
        began = monotonic_seconds()
        try:
            state["principal"] = await authentication.authenticate(credentials)
            headers.standing = authentication.standing(credentials)
        except (InvalidCredential, Unavailable) as problem:
            state["credential_problem"] = problem
        state["authentication_seconds"] = monotonic_seconds() - began

    def _target(self, scope: Scope) -> ASGIApp:
        path: str = scope["path"]
        found = self._targets.get(path) or self._find_target(path)
        if found is None:
            return self._inner
        scope["state"]["route"], mount = found
        return mount

    def _find_target(self, path: str) -> tuple[str, ASGIApp] | None:
        """Return the mount that a path is of, and its route; those of the paths met last are remembered."""
        for prefix, below, mount in self._mounts:
            if path.startswith(below) or path == prefix:
                found = below, mount
                if len(path) <= MAX_TARGET_CHARACTERS:
                    self._targets[path] = found
                    if len(self._targets) > MAX_TARGETS:
                        del self._targets[next(iter(self._targets))]
                return found
        return None

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
        headers = self._header_sets.read(scope)
        state = scope.setdefault("state", {})
        state["trace"] = self._tracing.decide(read_trace(scope["headers"]))
        state["address"], state["credentials"] = headers.credentials.address, headers.credentials
        current_source.set(scope)
        try:
            await self._identify(scope, headers)
        except Problem:
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        await self._target(scope)(scope, receive, send)


class Exchange(Struct, eq=False):
    """One request and what is known of its answer so far.

    A structure, for making one takes half of the time that an ordinary class takes.
    """

    _edge: Edge
    scope: Scope
    _receive: Receive
    _send: Send
    headers: HeaderSet
    trace: Trace
    _limit_bytes: int
    _began_at: float
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
            trace, headers = self.trace, message.get("headers", ())
            if self.headers.has_origin:
                headers = (*headers, *self._cors_headers())
            if self._edge.is_leaving:
                headers = (*headers, *self._closing())
            message["headers"] = [
                *headers,
                (b"x-request-id", trace.request_id.encode()),
                (b"traceparent", trace.traceparent.encode()),
                *self._edge.always,
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
        return [_CLOSE] if self._edge.is_leaving and self.scope["http_version"][0] == "1" else []

    def _cors_headers(self) -> RawHeaders:
        by_name = self.headers.by_name
        origin = _header(self.scope, b"origin") if by_name is None else by_name.get(b"origin")
        return [] if origin is None else self._edge.cors_of(self.scope["path"]).headers(origin)


_FIRST_DEFECT: Final = 500
_POLICY_VIOLATION: Final = 1008
_CLOSE: Final = (b"connection", b"close")
_HSTS: Final = b"strict-transport-security"
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


def _content_length(scope: Scope, headers: Mapping[bytes, bytes] | None) -> int | None:
    raw = _header(scope, b"content-length") if headers is None else headers.get(b"content-length")
    if raw is None:
        return None
    if not raw.isdigit():
        raise InvalidRequest("The Content-Length header is not a number.")
    return int(raw)


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)
