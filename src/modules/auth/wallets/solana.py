"""Wallets of Solana: the address is the public key (Ed25519) in base 58, the signature base64url."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from modules.auth.wallets.messages import Chain, MessageError

KEY_BYTES: Final = 32

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ADDRESS: Final = re.compile(rf"[{_ALPHABET}]{{32,44}}")
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9_-]{86}(==)?")


def base58(text: str) -> bytes:
    """Decode base 58 in Bitcoin's alphabet.

    >>> base58("StV1DL6CwTryKyV")
    b'hello world'
    """
    number = 0
    for char in text:
        number = number * 58 + _ALPHABET.index(char)
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def read_address(text: str) -> str:
    """Return an address; there is one way to write it.

    Raises:
        MessageError: It is none.
    """
    if not _ADDRESS.fullmatch(text) or len(base58(text)) != KEY_BYTES:
        raise MessageError("wallet address is not in base58 format")
    return text


def read_signature(text: str) -> bytes:
    """Return the bytes of a signature.

    Raises:
        MessageError: It is none.
    """
    if not _SIGNATURE.fullmatch(text):
        raise MessageError("signature must be 64 bytes in base64url")
    return urlsafe_b64decode(text.rstrip("=") + "==")


def is_signed(message: str, address: str, signature: bytes) -> bool:
    """Say whether the key that ``address`` is signed the text."""
    try:
        Ed25519PublicKey.from_public_bytes(base58(address)).verify(signature, message.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


CHAIN: Final = Chain(
    name="solana",
    title="Solana",
    networks=re.compile(r"(solana:)?(mainnet|devnet|testnet|localnet)"),
    needs_network=False,
    read_address=read_address,
    read_signature=read_signature,
    is_signed=is_signed,
)
