"""Secrets of factors at rest: sealed for their row, or as hashes under a key of ours.

An app's secret has to be read again to compute codes, so it is encrypted. A
recovery code is only compared, so its HMAC is kept: the codes are long enough
that nobody guesses one here, and a dump of the table is no use without the key.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

from monohull.kernel.crypto import Key, Keyring, decrypt, derive_key, encrypt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""No 0, 1, i, l and o, which people mistake for one another."""

CODE_CHARACTERS: Final = 16
"""About 79 bits."""

CODES: Final = 10


_PLAIN: Final = re.compile(r"[A-Z2-7]{16,128}=*")
"""A secret as GoTrue keeps it and as people bring it along in SQL; an envelope of ours has dots."""


class FactorSeal:
    """Closes and opens what factors must not tell.

    Args:
        secret: The instance's; the keys are derived from it.
    """

    def __init__(self, secret: str) -> None:
        self._keyring = Keyring(Key.derive(secret, "auth.mfa_factors"))
        self._codes = derive_key(secret, "auth.mfa_recovery_codes")
        self._texts = derive_key(secret, "auth.mfa_phone_codes")

    def close(self, factor_id: UUID, secret: str) -> str:
        """Seal a secret for its factor; the envelope opens in no other row."""
        return encrypt(secret.encode(), keyring=self._keyring, context=_context(factor_id))

    def open(self, factor_id: UUID, envelope: str) -> str:
        """Return what was sealed; a secret that was never sealed is returned as it is.

        Raises:
            DecryptionError: It was sealed with another secret or for another factor.
        """
        if _PLAIN.fullmatch(envelope):
            return envelope
        return decrypt(envelope, keyring=self._keyring, context=_context(factor_id)).decode()

    def hash_recovery_code(self, user_id: UUID, code: str) -> str:
        """Return what is stored in place of a recovery code; its groups and its case do not matter."""
        plain = "".join(code.lower().replace("-", " ").split())
        return hmac.digest(self._codes, f"{user_id}\0{plain}".encode(), "sha256").hex()

    def hash_text_code(self, challenge_id: UUID, code: str) -> str:
        """Return what is stored in place of a code that was sent for a challenge."""
        return hmac.digest(self._texts, f"{challenge_id}\0{code}".encode(), "sha256").hex()


def new_recovery_codes() -> Sequence[str]:
    """Draw a set of recovery codes; clients show them in groups, which do not matter here."""
    return [_draw() for _ in range(CODES)]


def looks_like_recovery_code(code: str) -> bool:
    """Say whether ``code`` may be a recovery code; what apps and messages show never is."""
    plain = "".join(code.lower().replace("-", " ").split())
    return len(plain) == CODE_CHARACTERS and set(plain) <= set(ALPHABET)


def _draw() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARACTERS))


def _context(factor_id: UUID) -> bytes:
    return f"auth.mfa_factors.secret:{factor_id}".encode()
