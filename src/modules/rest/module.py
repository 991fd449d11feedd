"""The plug of `modules.rest`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.query import live_catalog
from modules.rest.asgi import DataApi
from modules.rest.errors import render_rest_problem
from modules.rest.request import PREFIX
from modules.rest.settings import RestSettings
from monohull.kernel.module import Module, Parts

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


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
    return Parts(mounts={PREFIX: api}, renderers={PREFIX: render_rest_problem})


module = Module(name="rest", requires=("query",), settings=RestSettings, parts=parts)
