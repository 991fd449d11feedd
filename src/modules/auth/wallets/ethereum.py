"""Wallets of Ethereum: who signed is computed from the signature, and has to be who the message names.

    address   = the last 20 bytes of keccak256(x || y), in hexadecimal
    signed    = keccak256(0x19 "Ethereum Signed Message:" LF length message)
    signature = r (32 bytes) || s (32 bytes) || v (27 or 28; some devices write 0 or 1), in hexadecimal

An account that is a contract has no key, and whether it agrees only its chain can
say: see `contracts`.

The curve and the hash are libraries of their own, which take 5 MB in memory. They
are loaded by the first wallet that signs in, and lie on disk where none does.

Sources: EIP-191, version 0x45; EIP-155; SEC 1, section 4.1.6.
"""

from __future__ import annotations

import re
from typing import Final

from modules.auth.wallets.messages import Chain, MessageError

ADDRESS_BYTES: Final = 20
SIGNATURE_BYTES: Final = 65
LEGACY_V: Final = 27
"""What Bitcoin added to the recovery id, and Ethereum kept."""

_ADDRESS: Final = re.compile(r"0x[0-9A-Fa-f]{40}")
_SIGNATURE: Final = re.compile(r"0x[0-9A-Fa-f]{130}")


def read_address(text: str) -> str:
    """Return an address in lower case; the case of its letters is a checksum (EIP-55) and names nobody else.

    Raises:
        MessageError: It is none.
    """
    if not _ADDRESS.fullmatch(text):
        raise MessageError("wallet address must be 0x and 40 hexadecimal digits")
    return text.lower()


def read_signature(text: str) -> bytes:
    """Return ``r || s || v``.

    Raises:
        MessageError: It is no signature.
    """
    if not _SIGNATURE.fullmatch(text):
        raise MessageError("signature must be 0x and 65 bytes in hexadecimal")
    return bytes.fromhex(text[2:])


def is_signed(message: str, address: str, signature: bytes) -> bool:
    """Say whether the key of ``address``, in lower case, signed the text."""
    from sha3 import keccak_256  # noqa: PLC0415 see above

    key = _signer(digest(message), signature)
    return key is not None and f"0x{keccak_256(key).digest()[-ADDRESS_BYTES:].hex()}" == address


def digest(message: str) -> bytes:
    """Return what a wallet signs for the text."""
    from sha3 import keccak_256  # noqa: PLC0415 see above

    text = message.encode()
    hashed: bytes = keccak_256(b"\x19Ethereum Signed Message:\n%d%b" % (len(text), text)).digest()
    return hashed


def _signer(hashed: bytes, signature: bytes) -> bytes | None:
    """Return ``x || y`` of the key that made ``signature``, None when no key could have."""
    from coincurve import PublicKey  # noqa: PLC0415 see above

    if len(signature) != SIGNATURE_BYTES:
        return None
    recovery_id = signature[64] - LEGACY_V if signature[64] >= LEGACY_V else signature[64]
    if recovery_id not in (0, 1):
        return None
    compact = signature[:64] + bytes([recovery_id])
    try:
        key = PublicKey.from_signature_and_message(compact, hashed, hasher=None)
    except ValueError:  # no key could have made it
        return None
    return key.format(compressed=False)[1:]


CHAIN: Final = Chain(
    name="ethereum",
    title="Ethereum",
    networks=re.compile(r"[1-9][0-9]{0,19}"),
    needs_network=True,
    read_address=read_address,
    read_signature=read_signature,
    is_signed=is_signed,
)
