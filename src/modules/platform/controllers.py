"""Health, metrics, ``/openapi.json``, ``/docs`` and ``/platform/v1``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from litestar import Controller, MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import File
from litestar.serialization import encode_json
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from modules.platform.dtos import Liveness, ModuleInfo, PlatformStatus, Readiness, Whoami
from modules.platform.permissions import READ_STATUS
from monohull import __version__
from monohull.kernel.errors import NotFound
from monohull.kernel.guards import public, requires
from monohull.kernel.metrics import CONTENT_TYPE
from monohull.kernel.patterns import as_described
from monohull.kernel.principal import Principal
from monohull.kernel.runtime import Runtime

STATIC: Final = Path(__file__).parent / "static"
ASSETS: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
    "docs.js": "text/javascript",
}
NO_STORE: Final = {"Cache-Control": "no-store"}
RETRY_SECONDS: Final = "2"
DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class HealthController(Controller):
    path = "/health"
    tags = ("Health",)
    opt = public()
    security = ()

    @get("/live", operation_id="GetLiveness")
    async def live(self) -> Liveness:
        """Say that the process answers; asks nobody else."""
        return Liveness()

    @get("/ready", operation_id="GetReadiness")
    async def ready(self, runtime: NamedDependency[Runtime]) -> Response[Readiness]:
        """Run every check under its time limit; 503 names the ones that fail."""
        checks = dict(await runtime.health.run())
        if all(check.ok for check in checks.values()) and not runtime.lifecycle.is_leaving:
            return Response(Readiness("ok", checks), status_code=HTTP_200_OK, headers=NO_STORE)
        headers = NO_STORE | {"Retry-After": RETRY_SECONDS}
        return Response(
            Readiness("unavailable", checks), status_code=HTTP_503_SERVICE_UNAVAILABLE, headers=headers
        )

    @get("/startup", operation_id="GetStartup")
    async def startup(self, runtime: NamedDependency[Runtime]) -> Response[Liveness | Readiness]:
        """Say whether this process serves: resources opened, the schema seen to fit, and not about to stop.

        It asks nobody else, so that a proxy which sends requests only where this holds takes no process away
        because all of them are busy.
        """
        lifecycle = runtime.lifecycle
        if lifecycle.is_started and not lifecycle.is_leaving and runtime.schema.state == "current":
            return Response(Liveness(), status_code=HTTP_200_OK, headers=NO_STORE)
        headers = NO_STORE | {"Retry-After": RETRY_SECONDS}
        return Response(
            Readiness("unavailable", {}), status_code=HTTP_503_SERVICE_UNAVAILABLE, headers=headers
        )


@get("/metrics", opt=public(), include_in_schema=False)
async def metrics(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    """Prometheus' text format; on the public port only while ``MONOHULL_METRICS_PORT`` is unset."""
    if runtime.settings.core.metrics_port is not None:
        raise NotFound("Metrics are served on their own port here.")
    return Response(await runtime.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})


@get("/openapi.json", opt=public(), include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The platform API's description, OpenAPI 3.1."""
    document = encode_json(request.app.openapi_schema.to_schema())
    return Response(as_described(document), media_type=MediaType.JSON)


@get("/docs", opt=public(), include_in_schema=False)
async def docs() -> File:
    """The interactive reference; every asset comes from this host."""
    return File(
        STATIC / "docs.html",
        media_type="text/html",
        content_disposition_type="inline",
        headers={"Content-Security-Policy": DOCS_POLICY, "Referrer-Policy": "no-referrer"},
    )


@get("/docs/assets/{name:str}", opt=public(), include_in_schema=False)
async def docs_asset(name: FromPath[str]) -> File:
    """One file of the reference's page; names are a closed list, so no path can climb out."""
    if (media_type := ASSETS.get(name)) is None:
        raise NotFound("Nothing lives at this address.")
    folder = STATIC if name == "docs.js" else STATIC / "swagger-ui"
    return File(folder / name, media_type=media_type, content_disposition_type="inline")


class PlatformController(Controller):
    path = "/platform/v1"
    tags = ("Platform",)

    @get("/status", operation_id="GetPlatformStatus", guards=[requires(READ_STATUS.name)])
    async def status(self, runtime: NamedDependency[Runtime]) -> PlatformStatus:
        """Say what runs in the process that answers."""
        core = runtime.settings.core
        return PlatformStatus(
            version=__version__,
            env=core.env,
            public_url=core.public_url,
            data_login=runtime.data.login or "not connected",
            requests_in_flight=runtime.lifecycle.in_flight,
            modules=tuple(
                ModuleInfo(
                    name=module.name,
                    requires=module.requires,
                    jobs=tuple(job.name for job in module.jobs),
                    events=tuple(event.name for event in module.events),
                )
                for module in runtime.modules
            ),
        )

    @get("/whoami", operation_id="Whoami", opt=public())
    async def whoami(self, principal: NamedDependency[Principal]) -> Whoami:
        """Say whom the credentials of this request stand for."""
        return Whoami(
            kind=principal.kind.value,
            role=principal.role,
            subject=principal.subject,
            roles=principal.roles,
            permissions=tuple(sorted(principal.permissions)),
        )
