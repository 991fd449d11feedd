"""A security key in software, written from the standard: ES256, no attestation. It can also lie."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class SecurityKey:
    """One key pair, for one site.

    Args:
        origin: Where the browser says that the page comes from.
        counts: Whether it counts what it signs; most passkeys do not.
    """

    def __init__(self, origin: str = "https://app.example.com", *, counts: bool = True) -> None:
        self.origin = origin
        self.counts = counts
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.count = 0
        self.user_handle = b""

    def create(self, options: Mapping[str, Any], **lies: Any) -> dict[str, Any]:
        """Answer ``navigator.credentials.create``.

        Args:
            options: As the server gives them.
            **lies: ``origin``, ``challenge``, ``rp_id``, ``type`` or ``fmt`` in the place of what is right.
        """
        self.user_handle = unb64(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        )
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cose
        data = self._data(lies.get("rp_id", options["rp"]["id"]), ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": lies.get("fmt", "none"), "attStmt": {}, "authData": data})
        return self._credential(
            {
                "clientDataJSON": b64(self._client_data("webauthn.create", options, lies)),
                "attestationObject": b64(attestation),
                "transports": ["internal", "nonsense"],
            }
        )

    def sign(self, options: Mapping[str, Any], **lies: Any) -> dict[str, Any]:
        """Answer ``navigator.credentials.get``.

        Args:
            options: As the server gives them.
            **lies: As in `create`; ``count`` and ``user_handle`` too.
        """
        self.count += self.counts
        client_data = self._client_data("webauthn.get", options, lies)
        data = self._data(lies.get("rp_id", options["rpId"]), 0, lies.get("count"))
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        return self._credential(
            {
                "clientDataJSON": b64(client_data),
                "authenticatorData": b64(data),
                "signature": b64(signature),
                "userHandle": b64(lies.get("user_handle", self.user_handle)),
            }
        )

    def _data(self, rp_id: str, flags: int, count: int | None = None) -> bytes:
        number = self.count if count is None else count
        return (
            hashlib.sha256(rp_id.encode()).digest()
            + bytes([PRESENT | VERIFIED | flags])
            + number.to_bytes(4, "big")
        )

    def _client_data(self, kind: str, options: Mapping[str, Any], lies: Mapping[str, Any]) -> bytes:
        said = {
            "type": lies.get("type", kind),
            "challenge": lies.get("challenge", options["challenge"]),
            "origin": lies.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(said).encode()

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        key_id = b64(self.id)
        return {
            "id": key_id,
            "rawId": key_id,
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
        }
