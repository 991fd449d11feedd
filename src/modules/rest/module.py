"""The plug of `modules.rest`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from modules.rest.assembly import data_service
from modules.rest.batch import STEP_HEADER
from modules.rest.cache.permissions import PERMISSIONS
from modules.rest.errors import render_rest_problem
from modules.rest.events import SensitiveColumnsRead, TableCached, TableUncached
from modules.rest.hardening import weaknesses
from modules.rest.head import PREFIX
from modules.rest.idempotency import REPLAYED
from modules.rest.jobs import CRONS, purge_answers
from modules.rest.metrics import METRICS
from modules.rest.promised import call_function, in_worker
from modules.rest.rehearsal import HEADER
from modules.rest.settings import RestSettings
from monohull.kernel.cors import EXPOSED_HEADERS, Cors, CorsDialect
from monohull.kernel.data_permissions import DATA
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    import click

    from monohull.kernel.diagnosis import Diagnosis
    from monohull.kernel.runtime import Runtime

CORS_DIALECT: Final = CorsDialect(
    exposed=(
        (
            "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, "
            "Transfer-Encoding, Range-Unit"
        ),
        (
            f"{EXPOSED_HEADERS}, {HEADER.lower()}, {REPLAYED[0].decode()}, {STEP_HEADER.lower()}, etag, "
            "link, cache-status"
        ),
    ),
    methods="GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD",
    before=("Authorization",),
    after=("Accept", "Accept-Language", "Content-Language"),
    preflight_status=200,
)
"""PostgREST's words (``Cors.hs``); the second line is what ours adds to them."""


def parts(runtime: Runtime) -> Parts:
    """Return the data API of one process."""
    from modules.rest.cache.marking import CachedTables  # noqa: PLC0415 the API alone serves them
    from modules.rest.controllers import CONTROLLERS  # noqa: PLC0415 as above
    from modules.rest.deferring import Calls  # noqa: PLC0415 as above

    settings = runtime.settings.of(RestSettings)
    service = data_service(runtime)
    calls, tables = Calls(runtime, service.api), CachedTables(runtime.database)
    service.api.defer_by(calls)
    origins = settings.server_cors_allowed_origins or runtime.settings.core.effective_cors_origins
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=list(CONTROLLERS)),),
        dependencies={"rest_calls": lambda: calls, "rest_cached_tables": lambda: tables},
        mounts={PREFIX: service.api},
        renderers={
            PREFIX: partial(render_rest_problem, is_minimal=settings.client_error_verbosity == "minimal")
        },
        lifespans=(service.config.running, service.gate.running, service.cache.running),
        cors={PREFIX: Cors(origins, CORS_DIALECT)},
    )


def gen_cli() -> click.Group:
    """Return ``monohull gen``."""
    from modules.rest.cli import gen  # noqa: PLC0415 start-up time

    return gen


async def look_at_cache(runtime: Runtime) -> Diagnosis:
    """Look at the response cache."""
    from modules.rest.cache.looks import look  # noqa: PLC0415 start-up time

    return await look(runtime)


def cache_cli() -> click.Group:
    """Return ``monohull cache``."""
    from modules.rest.cache.cli import cache  # noqa: PLC0415 start-up time

    return cache


module = Module(
    name="rest",
    requires=("query",),
    settings=RestSettings,
    weaknesses=weaknesses,
    permissions=PERMISSIONS,
    events=(SensitiveColumnsRead, TableCached, TableUncached),
    families=(DATA,),
    jobs=(purge_answers, call_function),
    cron=CRONS,
    in_worker=(in_worker,),
    cli={"gen": gen_cli, "cache": cache_cli},
    looks={"response cache": look_at_cache},
    parts=parts,
    metrics=METRICS,
)
