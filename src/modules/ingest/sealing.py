"""How a source reaches its broker, at rest: sealed for its row, under a key of the instance's secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from modules.ingest.origins import Origin
from monohull.kernel.crypto import Key, Keyring, decrypt, encrypt

if TYPE_CHECKING:
    from uuid import UUID


class Vault:
    """Closes and opens origins, which have passwords in them.

    Args:
        secret: The instance's; the key is derived from it.
    """

    def __init__(self, secret: str) -> None:
        self._keyring = Keyring(Key.derive(secret, "ingest"))

    def close(self, source_id: UUID, origin: Origin) -> str:
        """Seal an origin."""
        return encrypt(msgspec.json.encode(origin), keyring=self._keyring, context=_context(source_id))

    def open(self, source_id: UUID, envelope: str) -> Origin:
        """Return the origin.

        Raises:
            DecryptionError: It was sealed under another secret of the instance, or for another row.
        """
        opened = decrypt(envelope, keyring=self._keyring, context=_context(source_id))
        return msgspec.json.decode(opened, type=Origin)


def _context(source_id: UUID) -> bytes:
    return f"monohull.ingest_sources.sealed_origin:{source_id}".encode()
