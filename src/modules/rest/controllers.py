"""``/platform/v1/calls``."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from modules.rest.cache.controllers import CacheController
from modules.rest.deferring import ABSENT, Calls
from modules.rest.dtos import CallView
from monohull.kernel.guards import principal_of, public
from monohull.kernel.pages import id_of


class CallsController(Controller):
    path = "/calls"
    tags = ("Jobs",)
    opt = public()

    @get("/{call_id:str}", operation_id="GetCall")
    async def one(
        self, request: Request[Any, Any, Any], rest_calls: NamedDependency[Calls], call_id: FromPath[str]
    ) -> CallView:
        """Show what became of a call with ``Prefer: respond-async``, to whoever sent it."""
        return await rest_calls.view(id_of(call_id, ABSENT), principal_of(request))


CONTROLLERS = (CallsController, CacheController)
