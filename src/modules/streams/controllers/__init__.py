"""``/platform/v1/streams``."""

from __future__ import annotations

from modules.streams.controllers.schemas import SchemasController
from modules.streams.controllers.sinks import SinksController

__all__ = ["CONTROLLERS"]

CONTROLLERS = (SinksController, SchemasController)
