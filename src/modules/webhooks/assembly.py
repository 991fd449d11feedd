"""Services of one process, built from its runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth import build_mailing
from modules.webhooks.sealing import Vault
from modules.webhooks.services.endpoints import Endpoints
from modules.webhooks.services.rules import Rules
from modules.webhooks.settings import WebhooksSettings
from modules.webhooks.telling import OwnerMail
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def build_vault(runtime: Runtime) -> Vault:
    """Return what seals secrets."""
    return Vault(jwt_secret(runtime.settings))


def build_endpoints(runtime: Runtime) -> Endpoints:
    """Return what makes, changes and disables endpoints."""
    settings = runtime.settings
    tell = OwnerMail(build_mailing(runtime))
    own = settings.of(WebhooksSettings)
    return Endpoints(runtime.database, build_vault(runtime), Rules(settings.core), own, tell)
