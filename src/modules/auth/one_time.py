"""Codes that people type and tokens that links carry: two faces of one secret, used once.

A code has six digits. The token is an HMAC of address and code under the
instance's key, so whoever knows an address cannot compute the tokens of the
million codes it may have, and whoever reads the table finds the hash of that
token and can try neither. GoTrue's token is a plain SHA-224 of both; its length
is kept, its ``pkce_`` too.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from monohull.kernel import clock
from monohull.kernel.crypto import derive_key
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from modules.auth.settings import AuthSettings

PKCE_PREFIX: Final = "pkce_"

CONFIRMATION: Final = "confirmation_token"
RECOVERY: Final = "recovery_token"
REAUTHENTICATION: Final = "reauthentication_token"
EMAIL_CHANGE_NEW: Final = "email_change_token_new"
EMAIL_CHANGE_CURRENT: Final = "email_change_token_current"
PHONE_CHANGE: Final = "phone_change_token"


class Issued(Struct, frozen=True):
    """What goes out, and what stays here."""

    code: str
    token: str
    token_hash: str


class Secrets:
    """Makes codes and tokens.

    Args:
        secret: The instance's; the key is derived from it.
        settings: Lengths, lifetimes, and codes of test numbers.
    """

    def __init__(self, secret: str, settings: AuthSettings) -> None:
        self._key = derive_key(secret, "auth.one_time_tokens")
        self._settings = settings

    def issue(self, address: str, *, is_pkce: bool = False) -> Issued:
        """Draw a code for an e-mail address or a phone number."""
        code = self._code(address)
        token = (PKCE_PREFIX if is_pkce else "") + self._token(address, code)
        return Issued(code, token, hash_token(token))

    def hashes(self, address: str, code: str) -> Sequence[str]:
        """Return what is stored when ``code`` was sent to ``address``, with and without PKCE."""
        token = self._token(address, code)
        return [hash_token(token), hash_token(PKCE_PREFIX + token)]

    def is_alive(self, address: str, sent_at: datetime) -> bool:
        """Say whether what was sent to ``address`` at ``sent_at`` still holds."""
        return sent_at + timedelta(seconds=self.lifetime_seconds(address)) > clock.now()

    def lifetime_seconds(self, address: str) -> int:
        return self._settings.mailer_otp_exp if "@" in address else self._settings.sms_otp_exp

    def is_test(self, address: str) -> bool:
        """Say whether ``address`` is a number with a code of its own."""
        return self._settings.test_code(address) is not None

    def _code(self, address: str) -> str:
        if (fixed := self._settings.test_code(address)) is not None:
            return fixed
        length = self._settings.mailer_otp_length if "@" in address else self._settings.sms_otp_length
        return f"{secrets.randbelow(10**length):0{length}d}"

    def _token(self, address: str, code: str) -> str:
        return hmac.digest(self._key, f"{address}\0{code}".encode(), "sha224").hex()
