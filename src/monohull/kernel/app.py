"""Fold the loaded modules into one Litestar application behind one edge."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, License, Reference, SecurityScheme
from litestar_granian import GranianPlugin
from sqlalchemy.ext.asyncio import AsyncSession

from monohull import __version__
from monohull.kernel.asgi import ASGIApp, Direct, ProblemRenderer, Work
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.counted import AccessRefused
from monohull.kernel.edge import Edge
from monohull.kernel.embedded.process import ended_at_once_until_served
from monohull.kernel.errors import (
    BodyTooLarge,
    Conflict,
    Forbidden,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    Problem,
    RateLimited,
    Rendered,
    RequestTimeout,
    Unauthenticated,
    UnsupportedMediaType,
)
from monohull.kernel.exchange import route_of
from monohull.kernel.guards import principal_of, public
from monohull.kernel.heap import without_unused
from monohull.kernel.lame_duck import LameDuck
from monohull.kernel.module import Module, Parts
from monohull.kernel.observation import ProcessStarted, ProcessStopped
from monohull.kernel.principal import Principal
from monohull.kernel.root_paths import RootPaths
from monohull.kernel.runtime import Runtime

if TYPE_CHECKING:
    from litestar.types import Receive, Scope, Send

_BY_STATUS: Final[Mapping[int, type[Problem]]] = {
    problem.status: problem
    for problem in (
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        RequestTimeout,
        Conflict,
        BodyTooLarge,
        UnsupportedMediaType,
        RateLimited,
    )
}

SECURITY_SCHEMES: Final[dict[str, SecurityScheme | Reference]] = {
    "apiKey": SecurityScheme(
        type="apiKey", name="apikey", security_scheme_in="header", description="Publishable or secret key."
    ),
    "bearer": SecurityScheme(
        type="http", scheme="Bearer", bearer_format="JWT", description="A user's access token."
    ),
}


class Provided(Provide):
    """A dependency of the process.

    Litestar asks of each whether it equals any other, for every handler anew: a tenth of the time in which
    the application is built. Each is made once, so identity tells them apart.
    """

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Application(Litestar):
    """Litestar with the edge in front of it."""

    edge: Edge
    entrance: ASGIApp
    runtime: Runtime

    def __call__(self, scope: Any, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        if scope["type"] == "lifespan":
            return super().__call__(scope, receive, send)
        return self.entrance(scope, receive, send)  # type: ignore[return-value]

    def begin(self, scope: Any, direct: Direct) -> Work | None:
        """Begin with a request that may be answered without a task; return what is left to be awaited."""
        if self.entrance is self.edge:
            return self.edge.begin(scope, direct)
        return self(scope, direct.receive, direct.send)

    def refused(self, problem: Problem) -> tuple[Rendered, Sequence[tuple[bytes, bytes]]]:
        """Note why what came is no request; return the answer, and the headers that every answer has."""
        return self.edge.refused(problem)

    async def behind_the_edge(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is no mount: Litestar itself."""
        await super().__call__(scope, receive, send)


def build_app(runtime: Runtime, modules: Sequence[Module]) -> Application:
    """Build the application of one process. Nothing is connected before its lifespan starts."""
    parts = [module.parts(runtime) for module in modules if module.parts is not None]
    for part in parts:
        runtime.authentication.register(part.authenticators)
        if part.grants is not None:
            runtime.grants.use(part.grants)
        for check in part.checks:
            runtime.health.add(check)
    with (
        without_unused()
    ):  # Litestar brings pydantic and attrs in, where it finds them, for those who use them
        app = Application.from_config(_config(runtime, parts))
    app.runtime = runtime
    mounts = {prefix: mount for part in parts for prefix, mount in part.mounts.items()}
    renderers: dict[str, ProblemRenderer] = {p: r for part in parts for p, r in part.renderers.items()}
    cors = {prefix: rules for part in parts for prefix, rules in part.cors.items()}
    app.edge = Edge(runtime, app.behind_the_edge, mounts, renderers, cors)  # type: ignore[arg-type]
    app.entrance = app.edge
    for prefix in (part.at_root for part in parts if part.at_root is not None):
        app.entrance = RootPaths(app.entrance, prefix, [*(route.path for route in app.routes), *mounts])
    return app


def _config(runtime: Runtime, parts: Sequence[Parts]) -> AppConfig:
    dependencies: dict[str, Any] = {
        "runtime": Provided(lambda: runtime, sync_to_thread=False),
        "principal": Provided(provide_principal, sync_to_thread=False),
        "session": Provided(provide_session),
    }
    for part in parts:
        _provide(part)
    return AppConfig(
        route_handlers=[router for part in parts for router in part.routers],
        dependencies=dependencies,
        exception_handlers={Exception: answer_exception},
        lifespan=[lambda _: process_lifespan(runtime, parts)],
        openapi_config=OpenAPIConfig(
            title="Monohull platform API",
            version=__version__,
            description="Management of one Monohull. The data API describes itself at /rest/v1/.",
            license=License(name="Apache-2.0", identifier="Apache-2.0"),
            components=Components(security_schemes=SECURITY_SCHEMES),
            security=[{"apiKey": []}, {"bearer": []}],
            use_handler_docstrings=True,
            # the default plugins would serve pages that load their assets from other hosts
            render_plugins=[JsonRenderPlugin()],
            openapi_router=Router("/openapi", route_handlers=[], opt=public(), include_in_schema=False),
        ),
        plugins=[GranianPlugin()],
        request_max_body_size=runtime.settings.core.body_limit_bytes,
        signature_types=[AsyncSession, Principal, Runtime],
        logging_config=None,
        debug=False,
    )


def _provide(part: Parts) -> None:
    """Give a module's dependencies to its own routers: a handler is checked against each that it can see."""
    provided = {name: Provided(factory, sync_to_thread=False) for name, factory in part.dependencies.items()}
    for router in part.routers:
        router.dependencies = {**provided, **(router.dependencies or {})}


@asynccontextmanager
async def process_lifespan(runtime: Runtime, parts: Sequence[Parts]) -> AsyncIterator[None]:
    """Start the runtime, then what the modules brought; drain before leaving both."""
    observer = runtime.observer
    async with AsyncExitStack() as stack:
        serves = stack.enter_context(ended_at_once_until_served(_lame_duck(runtime).watch))
        await stack.enter_async_context(runtime.running())
        for part in parts:
            for lifespan in part.lifespans:
                await stack.enter_async_context(lifespan())
        names = tuple(module.name for module in runtime.modules)
        observer.observe(ProcessStarted(process=runtime.process, version=__version__, modules=names))
        serves()
        yield
        began = monotonic_seconds()
        drained = await runtime.lifecycle.drain(runtime.settings.core.drain_seconds)
    observer.observe(
        ProcessStopped(
            process=runtime.process, drained=drained, seconds=round(monotonic_seconds() - began, 3)
        )
    )


def _lame_duck(runtime: Runtime) -> LameDuck:
    seconds = runtime.settings.core.effective_lame_duck_seconds
    return LameDuck(runtime.lifecycle, runtime.observer, seconds=seconds, parent=os.getppid())


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """Who asks, for handlers that need more than a guard."""
    return principal_of(request)


async def provide_session(request: Request[Any, Any, Any]) -> AsyncIterator[AsyncSession]:
    """One unit of work a request: committed when the handler returned, before the answer goes out."""
    app: Application = request.app  # type: ignore[assignment]
    async with app.runtime.database.unit_of_work() as session:
        yield session


def as_problem(error: Exception) -> Problem | None:
    """Return the refusal that ``error`` means, or None when it is a defect."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, msgspec.DecodeError):
        return InvalidRequest(str(error))
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        shape = _BY_STATUS.get(error.status_code, InvalidRequest)
        details = (
            "; ".join(_describe(item) for item in error.extra) if isinstance(error.extra, list) else None
        )
        if shape is NotFound:
            return NotFound("Nothing lives at this address.")
        return (
            shape(error.detail, details=details, hint=None)
            if not error.headers
            else _with_headers(shape, error)
        )
    return None


def _with_headers(shape: type[Problem], error: HTTPException) -> Problem:
    return shape(error.detail, headers=dict(error.headers or {}))


def _describe(item: Any) -> str:
    if isinstance(item, dict):
        return ": ".join(str(item[name]) for name in ("key", "message") if name in item)
    return str(item)


def answer_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer whatever a handler raised in the shape of the wire it belongs to."""
    app: Application = request.app  # type: ignore[assignment]
    problem = as_problem(error)
    if problem is None:
        app.edge.observe_defect(request.scope, error)  # type: ignore[arg-type]
        problem = InternalError("Something went wrong on our side.")
    if isinstance(problem, Forbidden):
        app.runtime.counted.count(
            AccessRefused(
                refusal=problem.code,
                method=request.method,
                route=route_of(request.scope),  # type: ignore[arg-type]
                reason=problem.message,
            )
        )
    rendered = app.edge.render(problem, request.scope)  # type: ignore[arg-type]
    return Response(
        rendered.body,
        status_code=rendered.status,
        headers=dict(rendered.headers),
        media_type=rendered.media_type,
    )
