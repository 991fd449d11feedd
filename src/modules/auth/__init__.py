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

__all__ = [
    "TokenRefreshed",
    "TokenReuseDetected",
    "UserSignedIn",
    "UserSignedOut",
    "UserSignedUp",
    "UserUpdated",
    "claims_of_user",
]
