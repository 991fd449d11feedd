"""The edge: what happens to every request, whichever room answers it.

One raw ASGI layer, since a stack of framework middlewares costs half of the
throughput: trace and request id, cross-origin headers, body limit, draining,
who asks, the choice between a mount and Litestar, and the one observation a
request leaves behind. Mounts are raw ASGI applications; whatever they raise is
answered here, so that no wire can send a traceback.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final, TypeAlias

from monohull.kernel.asgi import lines_of
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.cors import Cors, RawHeaders, is_preflight
from monohull.kernel.errors import (
    ClientGone,
    Draining,
    InternalError,
    InvalidCredential,
    Problem,
    Rendered,
    Unavailable,
    render_problem,
)
from monohull.kernel.exchange import UNMATCHED, Exchange, failed, route_of
from monohull.kernel.header_sets import HeaderSets
from monohull.kernel.observation import RequestFailed, RequestFinished
from monohull.kernel.origin import current_source
from monohull.kernel.principal import PrincipalKind
from monohull.kernel.span import Kind
from monohull.kernel.trace import Trace, new_trace, read_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from monohull.kernel.asgi import ASGIApp, Direct, ProblemRenderer, Receive, Scope, Send, Work
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.observation import Reader
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.span import Value

Begin: TypeAlias = "Callable[[Scope, Receive, Exchange], Work | None]"
"""How a mount begins with a request that it may answer without a task; returns what is left to await."""

Target: TypeAlias = "tuple[str, ASGIApp, Begin | None]"
"""The route of a mount, the mount, and its short way if it has one."""

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
        self.lifecycle = runtime.lifecycle
        self.schema = runtime.schema
        self._authentication = runtime.authentication
        self._tracing = runtime.tracing
        self._is_traced = runtime.tracing.is_on
        self._header_sets = HeaderSets(runtime.authentication)
        self.observe: Reader = runtime.observer.observe
        self._inner = inner
        self._mounts = [
            (prefix, f"{prefix}/", mount)
            for prefix, mount in sorted(mounts.items(), key=lambda item: -len(item[0]))
        ]
        self._targets: dict[str, Target] = {}
        self._renderers = sorted(renderers.items(), key=lambda item: -len(item[0]))
        self._cors = Cors(runtime.settings.core.effective_cors_origins)
        self._cors_below = tuple((cors or {}).items())
        self._body_limit_bytes = runtime.settings.core.body_limit_bytes
        secure = runtime.settings.core.effective_strict_transport_security
        self.always: RawHeaders = [_NO_SNIFFING, *([(_HSTS, secure.encode())] if secure else ())]
        self.always_lines = lines_of(self.always)

    def render(self, problem: Problem, scope: Scope) -> Rendered:
        """Render ``problem`` as the wire that ``scope`` belongs to does."""
        for prefix, renderer in self._renderers:
            if scope["path"].startswith(prefix):
                return renderer(problem, scope)
        return render_platform(problem, scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hold a socket."""
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
        self.lifecycle.begin()
        try:
            self._recognise(exchange)
            if scope["method"] == "OPTIONS" and is_preflight("OPTIONS", scope["headers"]):
                await self._answer_preflight(exchange)
            else:
                await self._reach(exchange)
        except Exception as error:  # noqa: BLE001 the one boundary: a defect is answered, logged and counted
            await self._fail(exchange, error)
        finally:
            self.lifecycle.end()
            current_source.reset(source)
            self.observe(finished := exchange.finished())
            if self._is_traced and trace.is_sampled:
                self._record(trace, finished)

    def begin(self, scope: Scope, direct: Direct) -> Work | None:
        """Begin with a request of our own server; return what is left to be awaited.

        There is nothing where a mount answered at once, or will without a task. Whatever is unusual about
        the request or the process goes the way of ASGI.
        """
        headers = self._header_sets.of(scope)
        standing, found = headers.standing, self._targets.get(scope["path"])
        if (
            standing is None
            or found is None
            or (begin := found[2]) is None
            or self._is_traced
            or scope["method"] == "OPTIONS"
            or self.lifecycle.is_draining
            or self.schema.state != "current"
        ):
            return self(scope, direct.receive, direct.send)
        exchange = Exchange(
            self,
            scope,
            direct.receive,
            direct.send,
            headers,
            headers.trace(),
            self._body_limit_bytes,
            monotonic_seconds(),
            direct,
        )
        source = current_source.set(scope)
        self.lifecycle.begin()
        try:
            self._recognise(exchange)
            receive = exchange.announced() if headers.has_length else exchange.receive
            # asked once the request is let in, for it may count the use of a key
            principal = standing.use()
            if principal is None:
                work: Work | None = self._reach_unknown(exchange, receive)
            else:
                state = scope["state"]
                state["principal"], state["route"] = principal, found[0]
                work = begin(scope, receive, exchange)
        except Exception as error:  # noqa: BLE001 the one boundary, as in `__call__`
            work = failed(error)
        finally:
            current_source.reset(source)
        return None if work is None else self.see_through(exchange, work)

    async def see_through(self, exchange: Exchange, work: Awaitable[None]) -> None:
        """Await what is left of a request that `begin` began with."""
        source = current_source.set(exchange.scope)
        try:
            await work
        except Exception as error:  # noqa: BLE001 the one boundary, as in `__call__`
            await self._fail(exchange, error)
        finally:
            current_source.reset(source)
            self.conclude(exchange)

    def conclude(self, exchange: Exchange) -> None:
        """Note that a request is over that `begin` began with."""
        self.lifecycle.end()
        self.observe(exchange.finished())

    def refused(self, problem: Problem) -> tuple[Rendered, RawHeaders]:
        """Note that what came was no request; return the answer, and the headers that every answer has.

        It has a line in the log and its numbers in the metrics, like any other. Its method may be none, and
        is called `_OTHER`, as OpenTelemetry has it.
        """
        trace = new_trace()
        rendered = render_problem(problem, request_id=trace.request_id)
        self.observe(
            RequestFinished(
                request_id=trace.request_id,
                trace_id=trace.trace_id,
                method="_OTHER",
                route=UNMATCHED,
                status=rendered.status,
                duration_seconds=0.0,
                principal=PrincipalKind.ANONYMOUS.value,
                response_bytes=len(rendered.body),
            )
        )
        own = (b"x-request-id", trace.request_id.encode()), (b"traceparent", trace.traceparent.encode())
        return rendered, [*own, *self.always]

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
        if self.lifecycle.is_draining or self.schema.state != "current":
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
            self.observe(exchange.broken(error))
        if not exchange.has_started:
            rendered = self.render(error, exchange.scope)
            await exchange.respond(rendered.status, raw_headers(rendered), rendered.body)

    def _admit(self, scope: Scope) -> None:
        """Let what is always answered pass, while nothing else is."""
        if scope["path"].startswith(_ALWAYS_ANSWERED):
            return
        if self.lifecycle.is_draining:
            raise Draining("This process is about to stop.")
        self.schema.demand()

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
        scope["state"]["route"], mount, _ = found
        return mount

    def _find_target(self, path: str) -> Target | None:
        """Return the mount that a path is of, and its route; those of the paths met last are remembered."""
        for prefix, below, mount in self._mounts:
            if path.startswith(below) or path == prefix:
                found = below, mount, getattr(mount, "begin", None)
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


_FIRST_DEFECT: Final = 500
_POLICY_VIOLATION: Final = 1008
_HSTS: Final = b"strict-transport-security"
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")


def raw_headers(rendered: Rendered) -> RawHeaders:
    """Return a rendered problem's headers as ASGI wants them."""
    pairs = [("content-type", rendered.media_type), *rendered.headers.items()]
    return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in pairs]
