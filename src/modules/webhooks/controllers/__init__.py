"""``/platform/v1/webhooks``."""

from __future__ import annotations

from modules.webhooks.controllers.deliveries import DeliveriesController, ReplaysController
from modules.webhooks.controllers.endpoints import EndpointsController
from modules.webhooks.controllers.secrets import SecretsController

__all__ = ["CONTROLLERS"]

CONTROLLERS = (EndpointsController, SecretsController, DeliveriesController, ReplaysController)
