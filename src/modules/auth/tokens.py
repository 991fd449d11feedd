"""Sign and verify JWTs: the one place where a signature decides.

The token names the key it wants; which keys exist, and for which algorithm, is
decided here alone. A key is found by the family of the token's ``alg`` among
our own keys, so ``alg=none``, an RSA public key used as an HMAC secret, a
``jku`` to somebody's own keys or an embedded ``jwk`` find nothing.

Keys come from three places: the shared secret, which signs the legacy anon and
service keys; the configured key set; and the `KeyRing`, whose keys are made and
rotated here. The first private key of the configured set signs new tokens, else
the ring's current key does, and the secret where neither is wanted.

Refusals carry PostgREST's texts (``Error/Types.hs``, JwtError), because its
clients compare them: ``malformed``, ``algorithm`` and ``signature`` are its
PGRST301, ``claims``, ``expired``, ``early``, ``audience`` and ``issuer`` its PGRST303.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from modules.auth.key_sets import ALGORITHMS, REGISTRY, SigningKey, key_id, read_keys, same_algorithm
from monohull.kernel import clock
from monohull.kernel.errors import InvalidCredential

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from joserfc.jwk import Key

SKEW_SECONDS: Final = 30
"""How far the issuer's clock may be off, in both directions."""

MAX_TOKEN_CHARACTERS: Final = 16_384
"""Longer than any header a server lets through; refused before any work."""

VERSION_CLAIM: Final = "claims_version"
"""Says of which ``auth.users.claims_version`` a token of ours is, so that changes since then are known."""

Claims: TypeAlias = dict[str, Any]


class Verified(msgspec.Struct, frozen=True):
    """The claims of a token that holds, and the key that says so."""

    claims: Claims
    key: SigningKey


class Ring(Protocol):
    """Keys that come and go while the process runs."""

    @property
    def signs(self) -> bool:
        """Whether new tokens are signed by a key of this ring."""
        ...

    @property
    def keys(self) -> Sequence[SigningKey]:
        """The keys that verify."""
        ...

    @property
    def signer(self) -> SigningKey:
        """The key that signs."""
        ...

    async def ready(self) -> None:
        """Return once the keys are known."""
        ...

    async def learn(self) -> None:
        """Look for keys that are not known yet."""
        ...


class TokenCodec:
    """Signs our tokens and verifies anybody's.

    Args:
        secret: HS256 secret; its keys are the legacy anon and service keys.
        jwks: JSON of a JWK or a JWK set whose keys are accepted too. The first private key that is not
            symmetric signs.
        audience: What ``aud`` must contain when a token has one, or None.
        issuers: What ``iss`` of a token with a subject must be; empty: not checked.
        ring: Keys that are made and rotated here.

    Raises:
        ValueError: ``jwks`` is no key set, or holds a key of an algorithm that is not allowed.
    """

    def __init__(
        self,
        *,
        secret: str | bytes,
        jwks: str | None = None,
        audience: str | None = None,
        issuers: Sequence[str] = (),
        ring: Ring | None = None,
    ) -> None:
        configured = read_keys(jwks) if jwks is not None else []
        raw = secret.encode() if isinstance(secret, str) else secret
        self._secret = SigningKey(OctKey.import_key(raw), "HS256", is_private=True)
        self._keys: tuple[SigningKey, ...] = (self._secret, *configured)
        self._configured = next((k for k in configured if k.is_private and not k.is_symmetric), None)
        self._audience = audience
        self._issuers = frozenset(issuers)
        self._ring = ring

    @property
    def signer(self) -> SigningKey:
        """The key of new tokens.

        Raises:
            SigningUnavailable: 503, the ring has none at the moment.
        """
        if self._configured is not None:
            return self._configured
        return self._secret if self._ring is None or not self._ring.signs else self._ring.signer

    async def ready(self) -> None:
        """Return once `sign` can be called.

        Raises:
            Unavailable: 503, the keys cannot be read.
        """
        if self._ring is not None:
            await self._ring.ready()

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return ``claims`` as a signed JWT; the header names the key unless the secret signs."""
        signer = self.signer
        header = {"alg": signer.algorithm, "typ": "JWT"}
        if not signer.is_symmetric:
            header["kid"] = key_id(signer.key)
        return jws.serialize_compact(header, msgspec.json.encode(claims), signer.key, registry=REGISTRY)

    def verify(self, token: str) -> Claims:
        """Return the claims of ``token`` once signature, times, audience and issuer hold.

        Raises:
            InvalidCredential: 401, ``reason`` says which rule it broke.
        """
        return self.verified(token).claims

    async def verified_by_any(self, token: str) -> Verified:
        """Like `verified`; a key that this process has not heard of is looked for first.

        Raises:
            InvalidCredential: 401. Unavailable: 503, the keys cannot be read.
        """
        try:
            return self.verified(token)
        except InvalidCredential:
            if self._ring is None or not self._may_be_new(token):
                raise
        await self._ring.learn()
        return self.verified(token)

    def verified(self, token: str) -> Verified:
        """Return the claims of ``token`` and the key that signed them.

        Raises:
            InvalidCredential: 401, ``reason`` says which rule it broke.
        """
        claims, key = self._claims(token)
        check_claims(claims, now=clock.unix_seconds(), audience=self._audience, issuers=self._issuers)
        return Verified(claims, key)

    def public_keys(self) -> list[dict[str, Any]]:
        """Return the public halves of our own asymmetric keys as JWKs; a secret is never listed."""
        return [
            {
                **signing.key.as_dict(private=False),
                "kid": key_id(signing.key),
                "alg": signing.algorithm,
                "use": "sig",
                "key_ops": ["verify"],
            }
            for signing in self._known()
            if (signing.is_private or signing.is_ours) and not signing.is_symmetric
        ]

    @property
    def signs_by_secret(self) -> bool:
        """Whether new tokens are signed by the shared secret."""
        return self._configured is None and (self._ring is None or not self._ring.signs)

    def is_secret(self, key: SigningKey) -> bool:
        """Say whether ``key`` is the shared secret."""
        return key is self._secret

    def _known(self) -> Iterable[SigningKey]:
        return self._keys if self._ring is None else chain(self._keys, self._ring.keys)

    def _may_be_new(self, token: str) -> bool:
        """Say whether ``token`` names a key, of a kind that rotates, which is not known here."""
        header, _ = self._open(token)
        kid = header.get("kid")
        if header["alg"] == "HS256" or not isinstance(kid, str):
            return False
        return all(key_id(signing.key) != kid for signing in self._known())

    def _claims(self, token: str) -> tuple[Claims, SigningKey]:
        header, obj = self._open(token)
        candidates = tuple(self._candidates(header))
        if not candidates:
            raise InvalidCredential(
                "No suitable key or wrong key type",
                reason="signature",
                details="No suitable key was found to decode the JWT",
            )
        found = next((signing for signing in candidates if _holds(obj, signing.key)), None)
        if found is None:
            raise InvalidCredential(
                "No suitable key or wrong key type",
                reason="signature",
                details="None of the keys was able to decode the JWT",
            )
        try:
            claims = msgspec.json.decode(obj.payload)
        except (msgspec.DecodeError, RecursionError):
            claims = None
        if not isinstance(claims, dict):
            raise InvalidCredential("Parsing claims failed", reason="claims")
        return claims, found

    def _open(self, token: str) -> tuple[Mapping[str, Any], jws.CompactSignature]:
        if not token:
            raise InvalidCredential("Empty JWT is sent in Authorization header", reason="malformed")
        if (parts := token.count(".") + 1) != 3:  # noqa: PLR2004
            raise InvalidCredential(f"Expected 3 parts in JWT; got {parts}", reason="malformed")
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise InvalidCredential("JWT cryptographic operation failed", reason="malformed")
        try:
            obj = jws.extract_compact(token.encode("ascii"), None, REGISTRY)
            header = obj.headers()
            algorithm = header["alg"]
            is_plain = "crit" not in header and "b64" not in header
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InvalidCredential("JWT cryptographic operation failed", reason="malformed") from error
        if algorithm == "none":
            raise InvalidCredential(
                "Wrong or unsupported encoding algorithm",
                reason="algorithm",
                details="JWT is unsecured but expected 'alg' was not 'none'",
            )
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise InvalidCredential(
                "Wrong or unsupported encoding algorithm",
                reason="algorithm",
                details="Allowed are " + ", ".join(ALGORITHMS),
            )
        if not is_plain:
            raise InvalidCredential("JWT cryptographic operation failed", reason="malformed")
        return header, obj

    def _candidates(self, header: Mapping[str, Any]) -> Iterable[SigningKey]:
        """Yield our keys of the token's algorithm; where both sides have a ``kid``, they must agree."""
        wanted = header.get("kid")
        for signing in self._known():
            if not same_algorithm(signing.algorithm, header["alg"]):
                continue
            if None in (wanted, signing.key.kid) or wanted == signing.key.kid:
                yield signing


def _holds(obj: jws.CompactSignature, key: Key) -> bool:
    try:
        return jws.validate_compact(obj, key, registry=REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False


def check_claims(
    claims: Mapping[str, Any], *, now: int, audience: str | None, issuers: Collection[str] = ()
) -> None:
    """Check what the registered claims say about time, audience and, of users, issuer.

    Raises:
        InvalidCredential: 401, with PostgREST's text.
    """
    exp, nbf, iat = (_number(claims, name) for name in ("exp", "nbf", "iat"))
    audiences = _audiences(claims.get("aud"))
    if exp is not None and exp + SKEW_SECONDS < now:
        raise InvalidCredential("JWT expired", reason="expired")
    if nbf is not None and nbf - SKEW_SECONDS > now:
        raise InvalidCredential("JWT not yet valid", reason="early")
    if iat is not None and iat - SKEW_SECONDS > now:
        raise InvalidCredential("JWT issued at future", reason="early")
    if audience is not None and audiences and audience not in audiences:
        raise InvalidCredential("JWT not in audience", reason="audience")
    issuer = claims.get("iss")
    if issuers and claims.get("sub") is not None and not (isinstance(issuer, str) and issuer in issuers):
        raise InvalidCredential("JWT of another issuer", reason="issuer")


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidCredential(f"The JWT '{name}' claim must be a number", reason="claims")
    return value


def _audiences(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise InvalidCredential("The JWT 'aud' claim must be a string or an array of strings", reason="claims")
