"""Every query of auth."""

from __future__ import annotations

from modules.auth.repositories.flows import FactorRepository, FlowRepository, OneTimeTokenRepository
from modules.auth.repositories.users import (
    AmrRepository,
    IdentityRepository,
    RefreshTokenRepository,
    SessionRepository,
    UserRepository,
)

__all__ = [
    "AmrRepository",
    "FactorRepository",
    "FlowRepository",
    "IdentityRepository",
    "OneTimeTokenRepository",
    "RefreshTokenRepository",
    "SessionRepository",
    "UserRepository",
]
