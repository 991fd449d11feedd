"""Decisions of auth: who may have a session, and what becomes of it. No HTTP."""

from __future__ import annotations

from modules.auth.services.account import Account
from modules.auth.services.password_grant import SignIn
from modules.auth.services.refresh_grant import Refresh
from modules.auth.services.registration import Registration
from modules.auth.services.sessions import SessionIssuer

__all__ = ["Account", "Refresh", "Registration", "SessionIssuer", "SignIn"]
