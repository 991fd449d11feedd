"""``/platform/v1/saq/``: SAQ's own page, behind a guard.

Scripts and styles are SAQ's; what they show is made here. A browser that opens a
page sends no ``apikey`` header, so the page also takes HTTP Basic: any user name,
and an API key as the password. A browser repeats that by itself, also when another
site makes it post something, so a change has to come from this page itself.

The page hands what it is given to a library that takes an object for attributes of
an element. Every value is a number or a text therefore, arguments and results above all.
"""

from __future__ import annotations

import base64
import binascii
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import saq
from litestar import Controller, MediaType, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK
from saq.job import Job as Message

from modules.jobs.errors import JobStateConflict
from modules.jobs.permissions import READ_RUNS, WRITE_RUNS
from modules.jobs.searching import ABSENT
from modules.jobs.services import JobRuns, public_jobs
from monohull.kernel.authentication import Credentials
from monohull.kernel.errors import Forbidden, InvalidCredential, NotFound, Unauthenticated
from monohull.kernel.guards import REQUIRED, demand, principal_of
from monohull.kernel.pages import id_of
from monohull.kernel.permissions import Permission
from monohull.kernel.redis_connection import redis_or_unavailable
from monohull.kernel.runtime import Runtime

ROOT: Final = "/platform/v1/saq"
STATIC: Final = Path(saq.__file__).parent / "web" / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PAGE: Final = f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <link rel="stylesheet" href="{ROOT}/static/pico.min.css">
    <title>Queues</title>
  </head>
  <body>
    <div id="app"></div>
    <script src="{ROOT}/static/root.js"></script>
    <script src="{ROOT}/static/snabbdom.js"></script>
    <script src="{ROOT}/static/app.js"></script>
  </body>
</html>
"""
ROOT_SCRIPT: Final = (
    f'const root_path = "{ROOT}";\n'
    'if (location.pathname === root_path) history.replaceState(null, "", root_path + "/");\n'
)
ASSETS: Final = {"app.js": "text/javascript", "snabbdom.js": "text/javascript", "pico.min.css": "text/css"}
CHALLENGE: Final = 'Basic realm="Monohull: any name, and an API key as the password", charset="UTF-8"'
MAX_SHOWN: Final = 2000
"""Characters of arguments, results and errors."""

AsyncGuard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


class PageUnauthenticated(Unauthenticated):
    """The page of SAQ needs a key, as the password of HTTP Basic or in the usual headers."""

    code = "page_unauthenticated"
    hint = "Give any name, and an API key as the password."


class ForeignPage(Forbidden):
    """Another site made the browser ask for a change."""

    code = "foreign_page"
    hint = "Use the page itself, or /platform/v1/jobs with an apikey header."


def on_page(permission: Permission, *, is_change: bool = False) -> AsyncGuard:
    """Return a guard that takes HTTP Basic beside the usual credentials."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        key = basic_password(connection.headers.get("authorization"))
        if key is None:
            principal = principal_of(connection)
        else:
            if is_change and connection.headers.get("sec-fetch-site") != "same-origin":
                raise ForeignPage("A change has to come from the page itself.")
            runtime: Runtime = connection.app.runtime  # type: ignore[attr-defined]  # of `Application`
            address = connection.scope["state"].get("address")
            try:
                principal = await runtime.authentication.authenticate(
                    Credentials(apikey=key, address=address)
                )
            except InvalidCredential as error:
                raise _challenge(error.message) from error
        if principal.is_default:
            raise _challenge(f"This needs the permission {permission.name}.")
        connection.scope["state"]["principal"] = principal
        demand(principal, permission.name)

    setattr(guard, REQUIRED, permission.name)
    return guard


def basic_password(authorization: str | None) -> str | None:
    """Return the password of HTTP Basic, or None when the header is something else.

    >>> basic_password("Basic " + base64.b64encode(b"me:key:1").decode())
    'key:1'
    """
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]


def _challenge(message: str) -> PageUnauthenticated:
    return PageUnauthenticated(message, headers={"WWW-Authenticate": CHALLENGE})


class SaqController(Controller):
    path = "/saq"
    include_in_schema = False

    @get(["/", "/queues/{queue:str}", "/queues/{queue:str}/jobs/{job:str}"], guards=[on_page(READ_RUNS)])
    async def page(self) -> Response[str]:
        return Response(PAGE, media_type=MediaType.HTML, headers=PAGE_HEADERS)

    @get("/static/{name:str}", guards=[on_page(READ_RUNS)])
    async def asset(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        """One file of the page; names are a closed list. What lies there packed is sent as it is."""
        headers = {"Vary": "Accept-Encoding", "Cache-Control": "private, max-age=3600"}
        if name == "root.js":
            return Response(ROOT_SCRIPT.encode(), media_type="text/javascript", headers=headers)
        if (media_type := ASSETS.get(name)) is None:
            raise NotFound("Nothing lives at this address.")
        packed = STATIC / f"{name}.gz"
        if not packed.exists():
            return Response((STATIC / name).read_bytes(), media_type=media_type, headers=headers)
        content = packed.read_bytes()
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        return Response(content, media_type=media_type, headers=headers)

    @get("/api/queues", guards=[on_page(READ_RUNS)])
    async def queues(self, runtime: NamedDependency[Runtime]) -> dict[str, Any]:
        with redis_or_unavailable():
            return {"queues": [_queue(await runtime.queues.lane(n).info()) for n in runtime.queues.names]}

    @get("/api/queues/{queue:str}", guards=[on_page(READ_RUNS)])
    async def queue(self, runtime: NamedDependency[Runtime], queue: FromPath[str]) -> dict[str, Any]:
        name = _known(runtime, queue)
        with redis_or_unavailable():
            found: Any = await runtime.queues.lane(name).info(jobs=True)
        shown = public_jobs(runtime)
        return {"queue": {**_queue(found), "jobs": [_job(job, shown) for job in found["jobs"]]}}

    @get("/api/queues/{queue:str}/jobs/{job:str}", guards=[on_page(READ_RUNS)])
    async def job(
        self, runtime: NamedDependency[Runtime], queue: FromPath[str], job: FromPath[str]
    ) -> dict[str, Any]:
        message = await _message(runtime, queue, job)
        return {"job": _job(message.to_dict(), public_jobs(runtime))}

    @post(
        "/api/queues/{queue:str}/jobs/{job:str}/retry",
        guards=[on_page(WRITE_RUNS, is_change=True)],
        status_code=HTTP_200_OK,
    )
    async def retry(
        self,
        runtime: NamedDependency[Runtime],
        job_runs: NamedDependency[JobRuns],
        queue: FromPath[str],
        job: FromPath[str],
    ) -> dict[str, Any]:
        """Do what the ledger does: SAQ's own button would begin what the ledger then refuses."""
        await job_runs.retry_one(id_of(_promised(await _message(runtime, queue, job)), ABSENT))
        return {}

    @post(
        "/api/queues/{queue:str}/jobs/{job:str}/abort",
        guards=[on_page(WRITE_RUNS, is_change=True)],
        status_code=HTTP_200_OK,
    )
    async def abort(
        self,
        runtime: NamedDependency[Runtime],
        job_runs: NamedDependency[JobRuns],
        queue: FromPath[str],
        job: FromPath[str],
    ) -> dict[str, Any]:
        """As `retry`."""
        await job_runs.cancel_one(id_of(_promised(await _message(runtime, queue, job)), ABSENT))
        return {}


def _known(runtime: Runtime, queue: str) -> str:
    """Return our name of a queue, which SAQ's page calls with the installation's prefix."""
    for name in runtime.queues.names:
        if queue in (name, _shown(runtime.queues.lane(name).name)):
            return name
    raise NotFound("There is no such queue.")


async def _message(runtime: Runtime, queue: str, key: str) -> Message:
    lane = runtime.queues.lane(_known(runtime, queue))
    with redis_or_unavailable():
        message = await lane.job(key)
    if message is None:
        raise NotFound("Redis knows no such job; the ledger may.")
    return message


def _promised(message: Message) -> str:
    job_id = message.meta.get("job_id")
    if not isinstance(job_id, str):
        raise JobStateConflict("This job was put straight into Redis, and the ledger knows nothing of it.")
    return job_id


def _shown(name: str) -> str:
    """Return the name of a queue without what a cluster wants around it."""
    return name.strip("{}")


def _queue(found: Any) -> dict[str, Any]:
    workers = {str(name): {"stats": _stats(about)} for name, about in dict(found["workers"]).items()}
    counts = {field: int(found[field]) for field in ("queued", "active", "scheduled")}
    return {"name": _shown(str(found["name"])), "workers": workers, **counts}


def _stats(about: Any) -> dict[str, float]:
    """Return the numbers that the page shows of a worker; it cannot do without one of them."""
    given = about.get("stats") if isinstance(about, dict) else None
    return {name: float((given or {}).get(name) or 0) for name in ("complete", "retried", "failed", "uptime")}


def _job(found: dict[str, Any], shown: Any) -> dict[str, Any]:
    """Return what is shown of a message: numbers and texts alone."""
    is_shown = found.get("function") in shown
    texts = {
        "key": found.get("key"),
        "function": found.get("function"),
        "queue": _shown(str(found.get("queue"))),
        "status": found.get("status"),
        "kwargs": _written(found.get("kwargs")) if is_shown else "(not shown)",
        "result": _written(found.get("result")) if is_shown else "",
        "error": found.get("error") or "",
    }
    numbers = ("queued", "started", "completed", "attempts", "progress")
    return {
        **{field: str(value)[:MAX_SHOWN] for field, value in texts.items()},
        **{field: float(found.get(field) or 0) for field in numbers},
    }


def _written(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value, enc_hook=repr).decode()
