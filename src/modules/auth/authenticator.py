"""JWT → `Principal`: the legacy anon and service keys, users' access tokens, anybody's tokens we trust.

The bearer token says who acts. The ``apikey`` header says it only when there is
no bearer token, as PostgREST behind Supabase's gateway has it. Opaque keys are
`modules.api_keys`' trade and pass through.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from modules.auth.claims import parse_path, walk
from modules.auth.key_sets import SigningKey, key_id
from modules.auth.keys.presenters import SECRET
from modules.auth.tokens import SKEW_SECONDS, TokenCodec, Verified
from monohull.kernel import clock
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from modules.auth.keys.legacy import LegacyKeys
    from modules.auth.keys.presenters import Presenters
    from modules.auth.revocations import Denylist
    from modules.auth.token_cache import TokenCache
    from monohull.kernel.authentication import Credentials
    from monohull.kernel.principal import Standing

OPAQUE_PREFIXES: Final = ("sb_publishable_", "sb_secret_")
SERVICE_ROLES: Final = frozenset({"service_role", "supabase_admin"})
"""Older Supabase installations sign admin tokens with the second name."""

ID_TOKEN: Final = {"token_use": "id"}
"""What our ID tokens say of themselves: they tell an application who signed in, and open nothing."""

NOTE_SECONDS: Final = 60
"""How exactly it is known when somebody last presented a token of an old key."""

_FOREVER: Final = math.inf


class TokenAuthenticator:
    """Knows JWTs.

    Args:
        codec: Verifies.
        role_claim_key: Path of the claim that names the database role, ``.role``.
        anonymous_role: Gives the role of a token that names none, and of anon keys.
        cache: What earlier requests verified.
        presenters: Told who presents tokens of keys that sign no more, or None.
        denylist: Knows which tokens hold no more although they are well signed, or None.
        legacy: Told of legacy keys, and refuses them where they are switched off; or None.
    """

    def __init__(  # noqa: PLR0913 each answers one question about a token
        self,
        codec: TokenCodec,
        *,
        role_claim_key: str,
        anonymous_role: Callable[[], str],
        cache: TokenCache[Principal],
        presenters: Presenters | None = None,
        denylist: Denylist | None = None,
        legacy: LegacyKeys | None = None,
    ) -> None:
        self._legacy = legacy
        self._codec = codec
        self._role_path = parse_path(role_claim_key)
        self._anonymous_role = anonymous_role
        self._presenters = presenters
        self._denylist = denylist
        if denylist is not None:
            denylist.on_entry(self._drop)
        self.cache = cache

    def _drop(self, sessions: Collection[str], users: Collection[str]) -> None:
        """Verify the tokens of these sessions and users anew."""
        self.cache.drop(lambda known: known.subject in users or known.session_id in sessions)

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the principal of the request's JWT, or None when it brought an opaque key.

        Raises:
            InvalidCredential: The token does not hold.
        """
        token = credentials.bearer if credentials.bearer is not None else credentials.apikey
        if token is None or token.startswith(OPAQUE_PREFIXES):
            return None
        if (principal := self.cache.get(token)) is not None:
            if principal.is_legacy_key and self._legacy is not None:
                self._legacy.meet(principal.role, credentials.address)
            return principal
        verified = await self._codec.verified_by_any(token)
        claims = verified.claims
        if (verified.key.is_private or verified.key.is_ours) and ID_TOKEN.items() <= claims.items():
            raise InvalidCredential("An ID token is no access token", reason="claims")
        principal = self.principal(claims if self._denylist is None else self._denylist.current(claims))
        if self._legacy is not None and self._codec.is_secret(verified.key) and is_key(principal):
            self._legacy.meet(principal.role, credentials.address)
            principal = structs.replace(principal, is_legacy_key=True)
        self.cache.put(token, principal, until=self._until(verified, principal))
        return principal

    def standing(self, credentials: Credentials) -> Standing | None:
        """Return what the cache holds of the request's JWT: it goes with the entry."""
        token = credentials.bearer if credentials.bearer is not None else credentials.apikey
        if token is None or token.startswith(OPAQUE_PREFIXES):
            return None
        return self.cache.entry(token)

    def _until(self, verified: Verified, principal: Principal) -> float:
        """Say how long a token need not be verified again.

        One of a key that signs no more, and a legacy key, are looked at every `NOTE_SECONDS`, so
        that whoever still presents them is seen.
        """
        exp = verified.claims.get("exp")
        until: float = _FOREVER if exp is None else exp + SKEW_SECONDS
        if principal.is_legacy_key:
            until = min(until, clock.unix_seconds() + NOTE_SECONDS)
        if self._presenters is None or (kid := self._old(verified.key)) is None:
            return until
        subject = principal.subject
        self._presenters.note(kid, f"user {subject}" if subject else f"role {principal.role}")
        return min(until, clock.unix_seconds() + NOTE_SECONDS)

    def _old(self, key: SigningKey) -> str | None:
        """Return the name under which users of ``key`` are noted, or None when it is in use."""
        if key.state == "previous":
            return key_id(key.key)
        return SECRET if self._codec.is_secret(key) and not self._codec.signs_by_secret else None

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Say who ``claims`` speak for; ``role`` is filled in as PostgREST does.

        Raises:
            InvalidCredential: The role or the subject is no text that PostgreSQL could take.
        """
        anonymous = self._anonymous_role()
        named = walk(self._role_path, dict(claims))
        role = anonymous if named is None else named
        subject = claims.get("sub")
        if not isinstance(role, str) or not role or "\0" in role:
            raise InvalidCredential("The JWT role claim must be a string", reason="claims")
        if subject is not None and (not isinstance(subject, str) or "\0" in subject):
            raise InvalidCredential("The JWT 'sub' claim must be a string", reason="claims")
        return Principal(
            kind=_kind(role, anonymous, subject),
            role=role,
            subject=subject or None,
            claims={**claims, "role": role},
            permissions=frozenset({"*"}) if role in SERVICE_ROLES else frozenset(),
        )


def is_key(principal: Principal) -> bool:
    """Say whether a token of the shared secret is a key and not a user's token."""
    return principal.subject is None and principal.kind is not PrincipalKind.USER


def _kind(role: str, anonymous: str, subject: str | None) -> PrincipalKind:
    if role in SERVICE_ROLES:
        return PrincipalKind.SERVICE
    if role in (anonymous, "anon") and not subject:
        return PrincipalKind.ANONYMOUS
    return PrincipalKind.USER
