"""Secrets and header values at rest: sealed for their row, under a key of the instance's secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from modules.webhooks.signing import read_secret
from monohull.kernel.crypto import Key, Keyring, decrypt, encrypt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


class Vault:
    """Closes and opens what endpoints must not show.

    Args:
        secret: The instance's; the key is derived from it.
    """

    def __init__(self, secret: str) -> None:
        self._keyring = Keyring(Key.derive(secret, "webhooks"))

    def close_secret(self, secret_id: UUID, secret: str) -> str:
        """Seal a secret as people copy it."""
        return encrypt(secret.encode(), keyring=self._keyring, context=_secret(secret_id))

    def open_secret(self, secret_id: UUID, envelope: str) -> bytes:
        """Return the bytes to sign with.

        Raises:
            DecryptionError: It was sealed under another secret of the instance, or for another row.
        """
        return read_secret(decrypt(envelope, keyring=self._keyring, context=_secret(secret_id)).decode())

    def close_headers(self, endpoint_id: UUID, headers: Mapping[str, str]) -> str | None:
        """Seal the headers that an endpoint wants; None where it wants none."""
        if not headers:
            return None
        return encrypt(msgspec.json.encode(headers), keyring=self._keyring, context=_headers(endpoint_id))

    def open_headers(self, endpoint_id: UUID, envelope: str | None) -> dict[str, str]:
        """Return the headers that an endpoint wants.

        Raises:
            DecryptionError: As above.
        """
        if envelope is None:
            return {}
        opened = decrypt(envelope, keyring=self._keyring, context=_headers(endpoint_id))
        return msgspec.json.decode(opened, type=dict[str, str])


def _secret(secret_id: UUID) -> bytes:
    return f"monohull.webhook_secrets.secret:{secret_id}".encode()


def _headers(endpoint_id: UUID) -> bytes:
    return f"monohull.webhook_endpoints.headers:{endpoint_id}".encode()
