"""Sign and verify JWTs: the one place where a signature decides.

The token names the key it wants; which keys exist, and for which algorithm, is
decided here alone. A key is found by the family of the token's ``alg`` among
our own keys, so ``alg=none``, an RSA public key used as an HMAC secret, a
``jku`` to somebody's own keys or an embedded ``jwk`` find nothing.

Refusals carry PostgREST's texts (``Error/Types.hs``, JwtError), because its
clients compare them: ``malformed``, ``algorithm`` and ``signature`` are its
PGRST301, ``claims``, ``expired``, ``early`` and ``audience`` its PGRST303.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey, import_key

from monohull.kernel import clock
from monohull.kernel.errors import InvalidCredential

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from joserfc._rfc7515.model import JWSAlgModel

SKEW_SECONDS: Final = 30
"""How far the issuer's clock may be off, in both directions."""

ALGORITHMS: Final[Mapping[str, type[Key]]] = {
    "HS256": OctKey,
    "RS256": RSAKey,
    "ES256": ECKey,
    "EdDSA": OKPKey,
    "Ed25519": OKPKey,
}
"""Everything that is accepted, and the kind of key that it takes. Nothing is taken from the token."""

MIN_SECRET_BITS: Final = 256
"""Of symmetric keys: as many as the hash has (RFC 7518, section 3.2)."""

MAX_TOKEN_CHARACTERS: Final = 16_384
"""Longer than any header a server lets through; refused before any work."""

ED25519: Final = "Ed25519"
"""RFC 9864's name of EdDSA over this curve; tokens carry either."""

Claims: TypeAlias = dict[str, Any]


class Registry(jws.JWSRegistry):
    """Knows `ALGORITHMS` and no other, whatever joserfc learns."""

    max_header_length = 4096

    def get_alg(self, name: str) -> JWSAlgModel:
        return super().get_alg(ED25519 if name == "EdDSA" else name)


REGISTRY: Final = Registry(algorithms=list(ALGORITHMS), strict_check_header=False)


class SigningKey(msgspec.Struct, frozen=True):
    """A key, the algorithm it signs with and whether we hold its private half."""

    key: Key
    algorithm: str
    is_private: bool

    @property
    def is_symmetric(self) -> bool:
        return isinstance(self.key, OctKey)


class TokenCodec:
    """Signs our tokens and verifies anybody's.

    Args:
        secret: HS256 secret; its keys are the legacy anon and service keys.
        jwks: JSON of a JWK or a JWK set whose keys are accepted too. The first private key that is not
            symmetric signs; without one the secret does.
        audience: What ``aud`` must contain when a token has one, or None.

    Raises:
        ValueError: ``jwks`` is no key set, or holds a key of an algorithm that is not allowed.
    """

    def __init__(self, *, secret: str | bytes, jwks: str | None = None, audience: str | None = None) -> None:
        configured = read_keys(jwks) if jwks is not None else []
        raw = secret.encode() if isinstance(secret, str) else secret
        own = SigningKey(OctKey.import_key(raw), "HS256", is_private=True)
        self._keys: tuple[SigningKey, ...] = (own, *configured)
        self._signer = next((k for k in configured if k.is_private and not k.is_symmetric), own)
        self._audience = audience

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return ``claims`` as a signed JWT; the header names the key unless the secret signs."""
        header = {"alg": self._signer.algorithm, "typ": "JWT"}
        if not self._signer.is_symmetric:
            header["kid"] = key_id(self._signer.key)
        return jws.serialize_compact(header, msgspec.json.encode(claims), self._signer.key, registry=REGISTRY)

    def verify(self, token: str) -> Claims:
        """Return the claims of ``token`` once signature, times and audience hold.

        Raises:
            InvalidCredential: 401, ``reason`` says which rule it broke.
        """
        claims = self._claims(token)
        check_claims(claims, now=clock.unix_seconds(), audience=self._audience)
        return claims

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
            for signing in self._keys
            if signing.is_private and not signing.is_symmetric
        ]

    def _claims(self, token: str) -> Claims:
        header, obj = self._open(token)
        candidates = tuple(self._candidates(header))
        if not candidates:
            raise InvalidCredential(
                "No suitable key or wrong key type",
                reason="signature",
                details="No suitable key was found to decode the JWT",
            )
        if not any(_holds(obj, key) for key in candidates):
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
        return claims

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

    def _candidates(self, header: Mapping[str, Any]) -> Iterable[Key]:
        """Yield our keys of the token's algorithm; where both sides have a ``kid``, they must agree."""
        wanted = header.get("kid")
        for signing in self._keys:
            if not same_algorithm(signing.algorithm, header["alg"]):
                continue
            if None in (wanted, signing.key.kid) or wanted == signing.key.kid:
                yield signing.key


def _holds(obj: jws.CompactSignature, key: Key) -> bool:
    try:
        return jws.validate_compact(obj, key, registry=REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False


def same_algorithm(one: str, other: str) -> bool:
    """Compare algorithm names; EdDSA and Ed25519 are the same here."""
    return one == other or {one, other} == {"EdDSA", ED25519}


def key_id(key: Key) -> str:
    """Return the key's ``kid``, its thumbprint (RFC 7638) when it was given none."""
    return key.kid or key.thumbprint()


def read_keys(text: str) -> list[SigningKey]:
    """Read a JWK or a JWK set.

    Raises:
        ValueError: It is neither, or a key has an algorithm that is not allowed.
    """
    try:
        document = msgspec.json.decode(text.encode())
    except msgspec.DecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("it is not a JWK or JWK set")  # noqa: TRY004 a value that was read, not an argument
    keys = document.get("keys", [document])
    if not isinstance(keys, list) or not keys:
        raise ValueError("the JWK set has no keys")
    return [_read_key(position, data) for position, data in enumerate(keys, start=1)]


def _read_key(position: int, data: Any) -> SigningKey:
    if not isinstance(data, dict):
        raise ValueError(f"key {position} is not a JWK")  # noqa: TRY004 as above
    if data.get("kty") == "oct" and len(str(data.get("k", ""))) * 6 < MIN_SECRET_BITS:
        raise ValueError(f"key {position} is a secret of fewer than {MIN_SECRET_BITS} bits")
    try:
        # joserfc holds a key to its own spelling of the algorithm
        key = import_key({**data, "alg": ED25519} if data.get("alg") == "EdDSA" else data)
        algorithm = str(data.get("alg") or _default_algorithm(key))
        if algorithm in ALGORITHMS:
            REGISTRY.get_alg(algorithm).check_key(key)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"key {position} cannot be used: {error}") from error
    if algorithm not in ALGORITHMS:
        raise ValueError(f"key {position} is for {algorithm}; allowed are {', '.join(ALGORITHMS)}")
    return SigningKey(key, algorithm, is_private=bool(key.is_private))


def _default_algorithm(key: Key) -> str:
    return next(name for name, kind in ALGORITHMS.items() if isinstance(key, kind))


def check_claims(claims: Mapping[str, Any], *, now: int, audience: str | None) -> None:
    """Check what the registered claims say about time and audience.

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
