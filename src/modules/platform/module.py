"""The plug of `modules.platform`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.platform.permissions import READ_STATUS
from monohull.kernel.counted import AccessRefused
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def parts(_: Runtime) -> Parts:
    """Everything at the root of the address space."""
    from modules.platform.controllers import (  # noqa: PLC0415 the API alone serves them
        HealthController,
        PlatformController,
        docs,
        docs_asset,
        metrics,
        openapi,
    )

    router = ModuleRouter(
        path="/", route_handlers=[HealthController, PlatformController, metrics, openapi, docs, docs_asset]
    )
    return Parts(routers=(router,))


module = Module(name="platform", permissions=(READ_STATUS,), events=(AccessRefused,), parts=parts)
