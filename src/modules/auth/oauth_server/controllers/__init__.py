"""The routes of the OAuth server: decode, ask one service, encode."""

from __future__ import annotations

from modules.auth.oauth_server.controllers.admin import OauthClientsController
from modules.auth.oauth_server.controllers.applications import OauthController
from modules.auth.oauth_server.controllers.discovery import DiscoveryController, RootDiscoveryController
from modules.auth.oauth_server.controllers.users import OauthUserController

OAUTH_CONTROLLERS = (OauthClientsController, OauthController, DiscoveryController, OauthUserController)
OAUTH_ROOT_CONTROLLERS = (RootDiscoveryController,)

__all__ = ["OAUTH_CONTROLLERS", "OAUTH_ROOT_CONTROLLERS"]
