"""Make key pairs and keep their private halves sealed.

The sealing key follows from the instance's secret, so that a dump of the
database signs nothing. Envelopes are bound to their ``kid``: one that is copied
to another row does not open.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from modules.auth.key_sets import ED25519, SigningKey
from modules.auth.keys.models import SigningKeyRow
from monohull.kernel import clock
from monohull.kernel.crypto import Key as SealingKey
from monohull.kernel.crypto import Keyring, decrypt, encrypt
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from joserfc.jwk import Key

    from modules.auth.keys.models import KeyState

SigningAlgorithm: TypeAlias = Literal["ES256", "RS256", "EdDSA"]

RSA_BITS: Final = 2048
_PURPOSE: Final = "auth.signing_keys"


class Vault:
    """Seals and opens.

    Args:
        secret: The instance's secret.
    """

    def __init__(self, secret: str) -> None:
        self._keyring = Keyring(SealingKey.derive(secret, _PURPOSE))

    async def generate(self, algorithm: SigningAlgorithm, state: KeyState) -> SigningKeyRow:
        """Return a new key as a row that nobody saved. An RSA key takes its time, in a thread."""
        key = await asyncio.to_thread(_generate, algorithm)
        kid = key.thumbprint()
        at = clock.now()
        sealed = encrypt(
            msgspec.json.encode(key.as_dict(private=True)), keyring=self._keyring, context=_context(kid)
        )
        return SigningKeyRow(
            id=uuid7(),
            kid=kid,
            algorithm=algorithm,
            state=state,
            public_key=key.as_dict(private=False),
            private_key=sealed,
            created_at=at,
            current_at=at if state == "current" else None,
        )

    def open(self, row: SigningKeyRow) -> SigningKey:
        """Return the key of ``row`` with its private half.

        Raises:
            DecryptionError: It was sealed under another secret.
        """
        plain = decrypt(row.private_key or "", keyring=self._keyring, context=_context(row.kid))
        return _signing_key(row, import_key(msgspec.json.decode(plain)))


def public_half(row: SigningKeyRow) -> SigningKey:
    """Return what verifies the tokens of ``row``."""
    return _signing_key(row, import_key(row.public_key))


def _signing_key(row: SigningKeyRow, key: Key) -> SigningKey:
    key.ensure_kid()
    return SigningKey(key, row.algorithm, is_private=bool(key.is_private), state=row.state, is_ours=True)


def _generate(algorithm: SigningAlgorithm) -> Key:
    if algorithm == "RS256":
        return RSAKey.generate_key(RSA_BITS)
    return ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key(ED25519)


def _context(kid: str) -> bytes:
    return f"monohull.signing_keys.private_key:{kid}".encode()
