"""The plug of `modules.rest`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from modules.query import live_catalog
from modules.rest.asgi import DataApi, Surroundings
from modules.rest.config import Config, LiveConfig, read_app_settings
from modules.rest.errors import render_rest_problem
from modules.rest.gate import Gate
from modules.rest.head import PREFIX
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
    core = runtime.settings.core
    if not settings.prepared_statements:
        runtime.data.keep_nothing_prepared()
    live = live_catalog(runtime)
    app_settings = read_app_settings(runtime.settings.free)
    gate = Gate(runtime.limits, settings.rate_limit)
    api = DataApi(
        Config(settings, {}, app_settings),
        live,
        runtime.data,
        Surroundings(
            address=core.public_url.rstrip("/") + PREFIX,
            demands_key=settings.demands_key(is_production=core.is_production),
            is_development=core.env == "development",
        ),
        gate,
    )

    def configure(config: Config) -> None:
        if config.settings.anon_role is not None:
            runtime.authentication.use_anonymous_role(config.settings.anon_role)
        api.configure(config)

    config = LiveConfig(settings, app_settings, runtime.data, configure, runtime.observer)
    live.on_reconfigured(config.request_reload)
    origins = settings.server_cors_allowed_origins or core.effective_cors_origins
    return Parts(
        mounts={PREFIX: api},
        renderers={
            PREFIX: partial(render_rest_problem, is_minimal=settings.client_error_verbosity == "minimal")
        },
        lifespans=(config.running, gate.running),
        cors={PREFIX: Cors(origins, CORS_DIALECT)},
    )


module = Module(name="rest", requires=("query",), settings=RestSettings, parts=parts)
