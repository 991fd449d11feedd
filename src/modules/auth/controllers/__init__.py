"""``/auth/v1``: decode, ask one service, encode."""

from __future__ import annotations

from modules.auth.controllers.about import AboutController, RootKeysController
from modules.auth.controllers.admin import AdminController, AdminUsersController
from modules.auth.controllers.admin_sessions import AdminSessionsController
from modules.auth.controllers.custom_providers import CustomProvidersController
from modules.auth.controllers.external import ExternalController
from modules.auth.controllers.factors import AdminFactorsController, FactorsController
from modules.auth.controllers.identities import IdentitiesController
from modules.auth.controllers.logout import LogoutController
from modules.auth.controllers.mailbox import MailboxController
from modules.auth.controllers.passkeys import (
    AdminPasskeysController,
    PasskeysController,
    PasskeySignInController,
)
from modules.auth.controllers.sending import SendingController
from modules.auth.controllers.sessions import SessionsController
from modules.auth.controllers.signup import SignupController
from modules.auth.controllers.token import TokenController
from modules.auth.controllers.user import ReauthenticateController, UserController
from modules.auth.controllers.verify import VerifyController

CONTROLLERS = (
    AboutController,
    AdminController,
    AdminFactorsController,
    AdminPasskeysController,
    AdminSessionsController,
    AdminUsersController,
    FactorsController,
    CustomProvidersController,
    ExternalController,
    IdentitiesController,
    LogoutController,
    PasskeySignInController,
    PasskeysController,
    ReauthenticateController,
    SendingController,
    SessionsController,
    SignupController,
    TokenController,
    UserController,
    VerifyController,
)

__all__ = ["CONTROLLERS", "MailboxController", "RootKeysController"]
