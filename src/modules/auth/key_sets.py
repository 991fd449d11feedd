"""Keys that sign and verify, and the algorithms they may do it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey, import_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc._rfc7515.model import JWSAlgModel

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

ED25519: Final = "Ed25519"
"""RFC 9864's name of EdDSA over this curve; tokens carry either."""


class Registry(jws.JWSRegistry):
    """Knows `ALGORITHMS` and no other, whatever joserfc learns."""

    max_header_length = 4096

    def get_alg(self, name: str) -> JWSAlgModel:
        return super().get_alg(ED25519 if name == "EdDSA" else name)


REGISTRY: Final = Registry(algorithms=list(ALGORITHMS), strict_check_header=False)


class SigningKey(msgspec.Struct, frozen=True):
    """A key, the algorithm it signs with and whether we hold its private half.

    Attributes:
        state: Of a key of the ring: standby, current or previous.
        is_ours: Whether its public half is published although the private one is not at hand.
    """

    key: Key
    algorithm: str
    is_private: bool
    state: str | None = None
    is_ours: bool = False

    @property
    def is_symmetric(self) -> bool:
        return isinstance(self.key, OctKey)


def same_algorithm(one: str, other: str) -> bool:
    """Compare algorithm names; EdDSA and Ed25519 are the same here."""
    return one == other or {one, other} == {"EdDSA", ED25519}


def key_id(key: Key) -> str:
    """Return the key's ``kid``, its thumbprint (RFC 7638) when it was given none."""
    return key.kid or key.thumbprint()


def read_keys(text: str) -> list[SigningKey]:
    """Read a JWK, a JWK set or, as GoTrue takes them, a list of JWKs.

    Raises:
        ValueError: It is none of them, or a key has an algorithm that is not allowed.
    """
    try:
        document = msgspec.json.decode(text.encode())
    except msgspec.DecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if isinstance(document, list):
        document = {"keys": document}
    if not isinstance(document, dict):
        raise ValueError("it is not a JWK or JWK set")  # noqa: TRY004 a value that was read, not an argument
    keys = document.get("keys", [document])
    if not isinstance(keys, list) or not keys:
        raise ValueError("the JWK set has no keys")
    return [_read_key(position, data) for position, data in enumerate(keys, start=1)]


def has_private_key(text: str | None) -> bool:
    """Say whether a configured key set holds a key that signs; False for one that cannot be read."""
    try:
        found = read_keys(text) if text is not None else []
    except ValueError:
        return False
    return any(key.is_private and not key.is_symmetric for key in found)


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
