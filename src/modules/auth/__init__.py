"""Auth: users, sessions and tokens, GoTrue-compatible at ``/auth/v1``.

Neighbours hear of it through its events and meet its tokens as a `Principal`;
nobody else verifies one.
"""

from __future__ import annotations

from modules.auth.events import (
    TokenRefreshed,
    TokenReuseDetected,
    UserSignedIn,
    UserSignedOut,
    UserSignedUp,
    UserUpdated,
)
from modules.auth.fresh_claims import claims_of_user
from modules.auth.mailing import Mailing, build_mailing
from modules.auth.origin import Origin, origin_of
from modules.auth.rules import normal_email

__all__ = [
    "Mailing",
    "Origin",
    "TokenRefreshed",
    "TokenReuseDetected",
    "UserSignedIn",
    "UserSignedOut",
    "UserSignedUp",
    "UserUpdated",
    "build_mailing",
    "claims_of_user",
    "normal_email",
    "origin_of",
]
