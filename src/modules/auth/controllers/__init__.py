"""``/auth/v1``: decode, ask one service, encode."""

from __future__ import annotations

from modules.auth.controllers.about import AboutController, RootKeysController
from modules.auth.controllers.logout import LogoutController
from modules.auth.controllers.sessions import SessionsController
from modules.auth.controllers.signup import SignupController
from modules.auth.controllers.token import TokenController
from modules.auth.controllers.user import UserController

CONTROLLERS = (
    AboutController,
    LogoutController,
    SessionsController,
    SignupController,
    TokenController,
    UserController,
)

__all__ = ["CONTROLLERS", "RootKeysController"]
