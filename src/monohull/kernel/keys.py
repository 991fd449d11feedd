"""The legacy keys: JWTs that say ``anon`` or ``service_role`` and are shared with clients.

They follow from the secret alone, so that every host that has it prints the
same ones, today and after a restart. Format as Supabase's: HS256, with
``iss``, ``role``, ``iat`` and ``exp``.
"""

from __future__ import annotations

from typing import Final, Literal

from joserfc import jwt
from joserfc.jwk import OctKey

ISSUER: Final = "monohull"
ISSUED_AT: Final = 1_767_225_600
"""2026-01-01. Fixed: a key that depended on the hour would differ between hosts."""
LIFETIME_SECONDS: Final = 10 * 365 * 86_400

Role = Literal["anon", "service_role"]


def legacy_key(secret: str, role: Role) -> str:
    """Return the key of ``role``, valid for ten years from `ISSUED_AT`.

    Args:
        secret: The HS256 secret, ``MONOHULL_JWT_SECRET``.
        role: The database role that requests with this key take on.
    """
    claims = {"iss": ISSUER, "role": role, "iat": ISSUED_AT, "exp": ISSUED_AT + LIFETIME_SECONDS}
    return jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, OctKey.import_key(secret), algorithms=["HS256"])
