"""Client secrets at rest, and what providers gave us until its owner fetches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.crypto import DecryptionError, Key, Keyring, decrypt, encrypt

if TYPE_CHECKING:
    from uuid import UUID


class ProviderVault:
    """Seals and opens; an envelope is bound to the row and the column that it is in.

    Args:
        secret: The instance's.
    """

    def __init__(self, secret: str) -> None:
        self._keyring = Keyring(Key.derive(secret, "auth.providers"))

    def close(self, text: str, column: str, row_id: UUID) -> str:
        return encrypt(text.encode(), keyring=self._keyring, context=f"{column}:{row_id}".encode())

    def open(self, envelope: str | None, column: str, row_id: UUID) -> str | None:
        """Return what was sealed; None for nothing, and for what another secret sealed."""
        if not envelope:
            return None
        try:
            return decrypt(envelope, keyring=self._keyring, context=f"{column}:{row_id}".encode()).decode()
        except DecryptionError:
            return None
