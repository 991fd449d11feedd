"""How a sink reaches its broker, at rest: sealed for its row, under a key of the instance's secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from modules.streams.targets import Target
from monohull.kernel.crypto import Key, Keyring, decrypt, encrypt

if TYPE_CHECKING:
    from uuid import UUID


class Vault:
    """Closes and opens targets, which have passwords in them.

    Args:
        secret: The instance's; the key is derived from it.
    """

    def __init__(self, secret: str) -> None:
        self._keyring = Keyring(Key.derive(secret, "streams"))

    def close(self, sink_id: UUID, target: Target) -> str:
        """Seal a target."""
        return encrypt(msgspec.json.encode(target), keyring=self._keyring, context=_context(sink_id))

    def open(self, sink_id: UUID, envelope: str) -> Target:
        """Return the target.

        Raises:
            DecryptionError: It was sealed under another secret of the instance, or for another row.
        """
        opened = decrypt(envelope, keyring=self._keyring, context=_context(sink_id))
        return msgspec.json.decode(opened, type=Target)


def _context(sink_id: UUID) -> bytes:
    return f"monohull.stream_sinks.sealed_target:{sink_id}".encode()
