"""Decisions of auth: who may have a session, and what becomes of it. No HTTP."""

from __future__ import annotations

from modules.auth.services.account import Account
from modules.auth.services.administration import Administration
from modules.auth.services.changes import Changes
from modules.auth.services.custom_providers import CustomProviders
from modules.auth.services.external import ExternalSignIn
from modules.auth.services.grants import Grants
from modules.auth.services.id_token_grant import IdTokenSignIn
from modules.auth.services.identities import Identities
from modules.auth.services.invitations import Invitations
from modules.auth.services.password_grant import SignIn
from modules.auth.services.passwordless import Passwordless
from modules.auth.services.pkce import PkceExchange
from modules.auth.services.provider_users import ProviderUsers
from modules.auth.services.refresh_grant import Refresh
from modules.auth.services.registration import Registration
from modules.auth.services.session_administration import SessionAdministration
from modules.auth.services.sessions import SessionIssuer
from modules.auth.services.verification import Verification
from modules.auth.services.web3_grant import Web3SignIn

__all__ = [
    "Account",
    "Administration",
    "Changes",
    "CustomProviders",
    "ExternalSignIn",
    "Grants",
    "IdTokenSignIn",
    "Identities",
    "Invitations",
    "Passwordless",
    "PkceExchange",
    "ProviderUsers",
    "Refresh",
    "Registration",
    "SessionAdministration",
    "SessionIssuer",
    "SignIn",
    "Verification",
    "Web3SignIn",
]
