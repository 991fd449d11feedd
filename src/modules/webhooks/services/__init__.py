"""What can be done with webhooks."""

from __future__ import annotations

from modules.webhooks.services.deliveries import Deliveries
from modules.webhooks.services.endpoints import Endpoints
from modules.webhooks.services.secrets import Secrets

__all__ = ["Deliveries", "Endpoints", "Secrets"]
