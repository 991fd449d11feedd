"""What an application learns of a user: ``/oauth/userinfo`` and the ID token.

An ID token says to one application who signed in. It opens nothing here: the
claim ``token_use`` tells it from an access token, and `authenticator` refuses
it, though the same key signs both.

Source: OpenID Connect Core 1.0, sections 2, 3.1.3.6 and 5.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

from modules.auth.authenticator import ID_TOKEN
from monohull.kernel import clock

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from modules.auth.models import User
    from modules.auth.tokens import TokenCodec

OPENID: Final = "openid"
PROFILE_CLAIMS: Final = (
    ("name", ("full_name", "name")),
    ("preferred_username", ("preferred_username", "user_name")),
    ("picture", ("avatar_url", "picture")),
)
"""Claims of the scope ``profile``, and where user metadata has them."""

CLAIMS: Final = (
    "sub",
    "email",
    "email_verified",
    "phone_number",
    "phone_number_verified",
    "updated_at",
    *(name for name, _ in PROFILE_CLAIMS),
)


def identity_claims(user: User, scopes: Collection[str]) -> dict[str, Any]:
    """Return what ``scopes`` let an application know of ``user``."""
    claims: dict[str, Any] = {"sub": str(user.id)}
    if "email" in scopes and user.email:
        claims |= {"email": user.email, "email_verified": user.email_confirmed_at is not None}
    if "phone" in scopes and user.phone:
        confirmed = user.phone_confirmed_at is not None
        claims |= {"phone_number": f"+{user.phone}", "phone_number_verified": confirmed}
    if "profile" in scopes:
        metadata = user.raw_user_meta_data or {}
        for name, sources in PROFILE_CLAIMS:
            found = next((v for key in sources if isinstance(v := metadata.get(key), str) and v), None)
            claims |= {name: found} if found is not None else {}
        claims |= {"updated_at": int(user.updated_at.timestamp())} if user.updated_at else {}
    return claims


class IdTokens:
    """Signs ID tokens.

    Args:
        codec: Signs access tokens too.
        issuer: The ``iss`` claim.
        lifetime_seconds: The ``exp`` claim.
    """

    def __init__(self, codec: TokenCodec, *, issuer: str, lifetime_seconds: int) -> None:
        self._codec = codec
        self._issuer = issuer
        self._lifetime_seconds = lifetime_seconds

    @property
    def is_possible(self) -> bool:
        """Whether applications could verify one: nobody is told the shared secret."""
        return not self._codec.signs_by_secret

    async def algorithm(self) -> str:
        """Return the algorithm that signs.

        Raises:
            SigningUnavailable: 503.
        """
        await self._codec.ready()
        return self._codec.signer.algorithm

    def sign(
        self, user: User, client_id: UUID, scopes: Collection[str], access_token: str, nonce: str | None
    ) -> str:
        """Return a token that tells the application ``client_id`` who ``user`` is."""
        issued_at = clock.unix_seconds()
        claims = {
            "iss": self._issuer,
            "aud": str(client_id),
            "iat": issued_at,
            "exp": issued_at + self._lifetime_seconds,
            "at_hash": token_hash(access_token, self._codec.signer.algorithm),
            **ID_TOKEN,
            **identity_claims(user, scopes),
        }
        return self._codec.sign(claims | ({"nonce": nonce} if nonce else {}))


def token_hash(access_token: str, algorithm: str) -> str:
    """Return the left half of the access token's hash, by the hash of the signature's algorithm."""
    name = "sha512" if algorithm in ("EdDSA", "Ed25519") else "sha256"
    digest = hashlib.new(name, access_token.encode("ascii")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
