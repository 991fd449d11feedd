"""Every query of auth."""

from __future__ import annotations

from modules.auth.repositories.factors import ChallengeRepository, FactorRepository, RecoveryCodeRepository
from modules.auth.repositories.flows import FlowRepository, OneTimeTokenRepository
from modules.auth.repositories.related import Related, related_to, related_to_each
from modules.auth.repositories.users import (
    AmrRepository,
    IdentityRepository,
    RefreshTokenRepository,
    SessionRepository,
    UserRepository,
)

__all__ = [
    "AmrRepository",
    "ChallengeRepository",
    "FactorRepository",
    "FlowRepository",
    "IdentityRepository",
    "OneTimeTokenRepository",
    "RecoveryCodeRepository",
    "RefreshTokenRepository",
    "Related",
    "SessionRepository",
    "UserRepository",
    "related_to",
    "related_to_each",
]
