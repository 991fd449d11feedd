"""The plug of `modules.rest`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.query import live_catalog
from modules.rest.asgi import DataApi
from modules.rest.errors import render_rest_problem
from modules.rest.request import PREFIX
from modules.rest.settings import RestSettings
from monohull.kernel.cors import EXPOSED_HEADERS, Cors, CorsDialect
from monohull.kernel.module import Module, Parts

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime

CORS_DIALECT: Final = CorsDialect(
    exposed=(
        (
            "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, "
            "Transfer-Encoding, Range-Unit"
        ),
        EXPOSED_HEADERS,
    ),
    methods="GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD",
    before=("Authorization",),
    after=("Accept", "Accept-Language", "Content-Language"),
    preflight_status=200,
)
"""PostgREST's words (``Cors.hs``); the second line is what ours adds to them."""


def parts(runtime: Runtime) -> Parts:
    """Return the data API of one process."""
    settings = runtime.settings.of(RestSettings)
    if settings.anon_role is not None:
        runtime.authentication.use_anonymous_role(settings.anon_role)
    api = DataApi(
        settings,
        live_catalog(runtime),
        runtime.data,
        demands_key=settings.anon_role is None
        or settings.demands_key(is_production=runtime.settings.core.is_production),
    )
    origins = settings.server_cors_allowed_origins or runtime.settings.core.effective_cors_origins
    return Parts(
        mounts={PREFIX: api},
        renderers={PREFIX: render_rest_problem},
        cors={PREFIX: Cors(origins, CORS_DIALECT)},
    )


module = Module(name="rest", requires=("query",), settings=RestSettings, parts=parts)
